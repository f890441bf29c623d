/** Decides whether to upgrade a request, and what a request for a page may see, by its head alone. Knows no socket. */
import { Fault } from '../../shared/api/fault.ts';
import { CONNECT_PATH, PROTOCOL, WIRE } from '../../shared/api/rpc.ts';
import { isLoopback } from '../../shared/loopback.ts';
import { type Known, bearerOf } from './auth.ts';
import type { Failures } from './rate-limit.ts';

/** The head of a request. `rawHeaders` holds names and values in turn, each as often as it was sent. */
export type Head = { url?: string | undefined; rawHeaders: readonly string[] };

export type UpgradePolicyOptions = {
  /** Checks which tokens are valid now. It takes about a second at most, also if the disk does not answer. */
  refresh: () => Promise<void>;
  /** The caller of this `Authorization` header. */
  authenticate: (header: string | undefined) => Known | undefined;
  /** Origins of browsers that are served. */
  allowOrigin: readonly string[];
  /** Names in the Host header that are served, besides those of the loopback. */
  allowHost: readonly string[];
};

/** Who gets a page without a token: everybody, though less of it than who is trusted; who is on this machine; nobody. */
export type Audience = 'everybody' | 'here' | 'nobody';
/** Who gets a page, and whether a browser may send the token as the password that it asks for. */
export type PageDoor = { without: Audience; basic: boolean };

/** Where the agent listens: on the loopback, on a network, on a Unix socket. */
export type Place = 'loopback' | 'network' | 'unix';

/** `log`: whether to write a line to the log. `unknown`: its token is missing or not known. */
export type Refused = { refused: Fault; log: boolean; unknown: boolean };
export type Admission = { known: Known } | Refused;
/** `trusted`: whether the page may tell more than whether the agent is well. */
export type PageAdmission = { trusted: boolean } | Refused;

/** Headers that the agent decides by. With two of them, a proxy in between may have read the other one. */
const ONCE: ReadonlySet<string> = new Set(['authorization', 'host', 'origin', 'upgrade']);
/** The seconds to wait when all connections are in use. */
const FULL_SECONDS = 5;

/** Where a request comes from, and where it has come in. */
type Origin = { address: string | undefined; place: Place };
type Policy = Omit<UpgradePolicyOptions, 'refresh'>;
/** The first value of a header. */
type Header = (name: string) => string | undefined;

const refused = (fault: Fault): Refused => ({ refused: fault, log: true, unknown: false });

/** Judges an upgrade, the cheapest check first. The answer does not say which token would be right. */
export function judge(
  head: Head,
  from: Origin & { connected: number },
  policy: Policy,
  failures: Failures,
): Admission {
  if (pathOf(head) !== CONNECT_PATH) {
    return refused(
      new Fault('NOT_FOUND', 'There is nothing at this path', {
        hint: `Connect to ${CONNECT_PATH}; the address of an agent needs no path`,
      }),
    );
  }
  const checked = checkHead(head, from, policy);
  if ('refused' in checked) {
    return checked;
  }
  const { header } = checked;
  const known = policy.authenticate(header('authorization'));
  if (known === undefined) {
    return refuseUnknown(from, failures);
  }
  const offered = (header('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim());
  if (!offered.includes(PROTOCOL)) {
    return refused(new Fault('INVALID_PARAMS', `Offer the subprotocol ${PROTOCOL}`));
  }
  if (from.connected >= WIRE.connections) {
    return refused(
      new Fault('RATE_LIMITED', `${WIRE.connections} connections are open already`, {
        hint: `Try again in ${FULL_SECONDS} s`,
        retryAfter: FULL_SECONDS,
      }),
    );
  }
  return { known };
}

/**
 * Judges a request for a page. A token that is shown must be known. Without one, only who is on this machine is trusted:
 * a request from the loopback, for a name of the loopback, that no proxy says to have passed on.
 */
export function judgePage(
  head: Head,
  from: Origin,
  policy: Policy,
  failures: Failures,
  { without, basic }: PageDoor,
): PageAdmission {
  const checked = checkHead(head, from, policy);
  if ('refused' in checked) {
    return checked;
  }
  const { header } = checked;
  const shown = header('authorization');
  if (policy.authenticate(basic ? bearerOf(shown) : shown) !== undefined) {
    return { trusted: true };
  }
  const trusted = without !== 'nobody' && isHere(from.address, header);
  if (shown === undefined && (trusted || without === 'everybody')) {
    return { trusted };
  }
  return refuseUnknown(from, failures);
}

/** Headers by which proxies say that a request is not their own. */
const PASSED_ON = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/** A page of the web that makes its own name resolve to the loopback sends that name as the Host. */
const isHere = (address: string | undefined, header: Header): boolean =>
  isLoopback(address ?? '') &&
  isLoopback(nameOf(header('host') ?? '')) &&
  header('origin') === undefined &&
  PASSED_ON.every((name) => header(name) === undefined);

/** The path of a request, without what is behind it. */
export const pathOf = ({ url }: Pick<Head, 'url'>): string => (url ?? '').split('?')[0] ?? '';

/** What is refused whoever asks. */
function checkHead(
  { url, rawHeaders }: Head,
  { place }: Origin,
  { allowOrigin, allowHost }: Policy,
): { header: Header } | Refused {
  if (url?.includes('?') === true) {
    return refused(
      new Fault('INVALID_PARAMS', 'The address has a query, and addresses end up in logs', {
        hint: 'Send the token in the Authorization header, and nothing in the address',
      }),
    );
  }
  const headers = headersOf(rawHeaders);
  const twice = [...headers].find(([name, values]) => values.length > 1 && isDecisive(name));
  if (twice !== undefined) {
    return refused(new Fault('INVALID_PARAMS', `The header "${twice[0]}" was sent more than once`));
  }
  const header: Header = (name) => headers.get(name)?.[0];
  const origin = header('origin');
  if (origin !== undefined && !allowOrigin.includes(origin.toLowerCase())) {
    return refused(
      new Fault('FORBIDDEN', 'The request has an Origin, and browsers are not served', {
        hint: 'Send none, or name it in AIRLOCK_ALLOW_ORIGIN of the agent',
      }),
    );
  }
  if (!isHostAllowed(header('host'), place, allowHost)) {
    return refused(
      new Fault('FORBIDDEN', 'The agent does not serve the name in the Host header', {
        hint: 'Use the address on which it listens, or name the host in AIRLOCK_ALLOW_HOST of the agent',
      }),
    );
  }
  return { header };
}

function refuseUnknown({ address }: Origin, failures: Failures): Refused {
  const { wait, log } = failures.count(address);
  const fault =
    wait > 0
      ? new Fault('RATE_LIMITED', 'There were too many failed attempts from this address', {
          hint: `Try again in ${wait} s, with a token that this agent knows`,
          // With a token that it knows nobody is refused. With this one another try is in vain.
          retry: 'never',
          retryAfter: wait,
        })
      : new Fault('UNAUTHENTICATED', 'The bearer token is missing or not known here', {
          hint: 'Pass a token that this agent knows: AIRLOCK_TOKEN, or a token file',
        });
  return { refused: fault, log, unknown: true };
}

/**
 * A web page can make its own name resolve to 127.0.0.1. So on the loopback only names of the loopback are served. On a
 * network every name is served unless some are listed. A Unix socket has no name.
 */
export function isHostAllowed(host: string | undefined, place: Place, allowHost: readonly string[]): boolean {
  if (place === 'unix' || (place === 'network' && allowHost.length === 0)) {
    return true;
  }
  const name = nameOf(host ?? '');
  return name !== '' && (isLoopback(name) || allowHost.some((allowed) => nameOf(allowed) === name));
}

/** The name of `name:port` in one spelling; empty if it is not valid. */
function nameOf(host: string): string {
  const [, name = ''] = /^(\[[0-9a-f:.]+\]|[^:[\]/@\s]+)(?::\d{1,5})?$/i.exec(host.trim()) ?? [];
  return name.toLowerCase().replace(/\.$/, '');
}

const isDecisive = (name: string): boolean => ONCE.has(name) || name.startsWith('sec-websocket-');

function headersOf(rawHeaders: readonly string[]): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), rawHeaders[i + 1] ?? '']);
  }
  return headers;
}
