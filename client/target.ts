/** The checked address of an agent. */
import { Fault } from '../shared/api/fault.ts';
import { CONNECT_PATH } from '../shared/api/rpc.ts';

/** A checked address. `label` is the part that messages may show: no user name, query or token. */
export type Target = {
  href: string;
  label: string;
  /** The path of a Unix socket to connect to; `href` then has a placeholder as its host. */
  socketPath?: string | undefined;
};

const HINT = 'Give it as ws://host:port, wss://host:port or ws+unix:/path, and pass the token separately';

/**
 * Reads an address. Without a path it gets `/v1/connect`.
 *
 * @throws Fault INVALID_PARAMS. It does not quote the text if that could contain a secret.
 */
export function readTarget(text: string): Target {
  if (text.startsWith('ws+unix:')) {
    return readSocketPath(text);
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Fault('INVALID_PARAMS', 'The address of the agent is not a URL', { hint: HINT });
  }
  if (url.username !== '' || url.password !== '') {
    throw new Fault('INVALID_PARAMS', 'The URL of the agent holds a user name or a password', { hint: HINT });
  }
  if (url.search !== '' || url.hash !== '') {
    const why = 'The URL of the agent holds a query or a fragment, and URLs end up in logs';
    throw new Fault('INVALID_PARAMS', why, { hint: HINT });
  }
  const label = `${url.protocol}//${url.host}`;
  if ((url.protocol !== 'ws:' && url.protocol !== 'wss:') || url.host === '') {
    throw new Fault('INVALID_PARAMS', `The URL of the agent begins with "${url.protocol}"`, { hint: HINT });
  }
  if (url.pathname === '/') {
    url.pathname = CONNECT_PATH;
  }
  return { href: url.href, label };
}

/** The path follows `ws+unix:` or `ws+unix://` as it is: nothing in it is decoded. */
function readSocketPath(text: string): Target {
  const socketPath = text.slice('ws+unix:'.length).replace(/^\/\/(?=\/)/, '');
  if (!/^\/(?!\/)[^\0]+$/.test(socketPath)) {
    throw new Fault('INVALID_PARAMS', 'The address of the agent holds no absolute path', { hint: HINT });
  }
  return { href: `ws://localhost${CONNECT_PATH}`, label: `ws+unix:${socketPath}`, socketPath };
}
