/** From where the agent pulls: which addresses, with which token, and where a redirect may lead. Pure. */
import { Fault } from '../../shared/api/fault.ts';
import { isLoopback } from '../../shared/loopback.ts';

const FORM = 'Give it as https://host/path; http:// only reaches the loopback of the agent';

/**
 * Reads a URL.
 *
 * @param from the origins that the owner allows; undefined: all.
 * @throws Fault INVALID_PARAMS, without the text, which may hold a secret; FORBIDDEN for another origin.
 */
export function readPullUrl(text: string, from: readonly string[] | undefined): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Fault('INVALID_PARAMS', 'The URL of the bundle is not a URL', { hint: FORM });
  }
  if (url.username !== '' || url.password !== '') {
    throw new Fault('INVALID_PARAMS', 'The URL of the bundle holds a user name or a password', {
      hint: 'The agent sends the token in the file that AIRLOCK_PULL_TOKEN_FILE names',
    });
  }
  url.hash = '';
  refuseOrigin(url, from);
  return url;
}

function refuseOrigin(url: URL, from: readonly string[] | undefined): void {
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new Fault('INVALID_PARAMS', `"${labelOf(url)}" would be fetched without TLS`, { hint: FORM });
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Fault('INVALID_PARAMS', `The URL of the bundle begins with "${url.protocol}"`, { hint: FORM });
  }
  if (from !== undefined && !from.includes(url.origin)) {
    throw new Fault('FORBIDDEN', `This agent does not pull from "${url.origin}"`, {
      hint: `It pulls from ${from.join(', ') || 'nowhere'}; the owner can change AIRLOCK_PULL_FROM`,
    });
  }
}

/** What messages and markers may say of a URL: no query, which may hold a secret. */
export const labelOf = ({ origin, pathname }: URL): string => `${origin}${pathname}`.slice(0, 512);

/**
 * Where a redirect leads.
 *
 * @param location the header of the answer. @param isSecret whether a token is sent, which no other server may get.
 * @throws Fault INVALID_PARAMS, FORBIDDEN if it may not be followed.
 */
export function redirected(
  at: URL,
  location: string | undefined,
  { from, isSecret }: { from: readonly string[] | undefined; isSecret: boolean },
): URL {
  const hint = 'Give the URL to which it redirects, if that is where the bundle is to come from';
  let to: URL;
  try {
    to = new URL(location ?? '', at);
  } catch {
    throw new Fault('INVALID_PARAMS', `"${labelOf(at)}" redirects to what is not a URL`, { hint });
  }
  if (location === undefined) {
    throw new Fault('INVALID_PARAMS', `"${labelOf(at)}" redirects, and does not say where to`, { hint });
  }
  if (to.protocol !== at.protocol) {
    throw new Fault('INVALID_PARAMS', `"${labelOf(at)}" redirects from ${at.protocol} to ${to.protocol}`, {
      hint,
    });
  }
  if (isSecret && to.host !== at.host) {
    throw new Fault(
      'INVALID_PARAMS',
      `"${labelOf(at)}" redirects to "${to.origin}", and the token is for "${at.origin}" only`,
      { hint },
    );
  }
  return readPullUrl(to.href, from);
}
