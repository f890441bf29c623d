/** The upgrades of agents that dial in: who is let in, and the answer to the others. */
import type { IncomingMessage, Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Duplex } from 'node:stream';

import { type WebSocket, WebSocketServer } from 'ws';

import { Fault, toFault } from '../../shared/api/fault.ts';
import { AGENTS_PATH, PROTOCOL, WIRE } from '../../shared/api/rpc.ts';

/** How agents come in. */
export type UpgradeOptions = {
  /**
   * Says which workspace the agent speaks for, by what it shows: its token, its certificate. Undefined: nobody who is
   * known (401). It may throw a Fault, whose status is the answer; any other error is answered with 500.
   */
  authenticate: (request: IncomingMessage) => Promise<string | undefined> | string | undefined;
  /** The path of the upgrade; `/v1/agents` by default. */
  path?: string | undefined;
};

/** The seconds to wait when all connections are in use. */
const FULL_SECONDS = 30;
/** How long `authenticate` may take. */
const AUTHENTICATE_MILLIS = 10_000;

/**
 * Upgrades the connections of known agents.
 *
 * @param max the most connections at once.
 * @param accept takes an upgraded connection of a workspace.
 * @returns how to stop.
 * @internal
 */
export function acceptUpgrades(
  server: Server | TlsServer,
  { authenticate, path = AGENTS_PATH }: UpgradeOptions,
  max: number,
  accept: (workspace: string, socket: WebSocket) => void,
): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: WIRE.frameBytes,
    handleProtocols: () => PROTOCOL,
  });
  let isStopped = false;
  let open = 0;
  const admit = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    // It counts from here on, so that those who are not authenticated yet are bounded too.
    open += 1;
    socket.once('close', () => {
      open -= 1;
    });
    const refusal = refusalOf(request) ?? (open > max ? full(max) : undefined);
    if (refusal !== undefined) return refuse(socket, refusal);
    let workspace: string | undefined;
    try {
      workspace = await soon(authenticate(request));
    } catch (error) {
      return refuse(socket, error instanceof Fault ? error : unknown(error));
    }
    if (workspace === undefined || workspace === '') return refuse(socket, stranger);
    const known = workspace;
    if (isStopped) return refuse(socket, stopped);
    sockets.handleUpgrade(request, socket, head, (ws) => accept(known, ws));
  };
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const [at] = (request.url ?? '').split('?');
    // Another listener of the server may serve another path. If there is none, nobody would answer.
    if (at !== path && server.listenerCount('upgrade') > 1) return;
    socket.on('error', () => socket.destroy());
    if (at !== path) return refuse(socket, elsewhere(path));
    admit(request, socket, head).catch(() => socket.destroy());
  };
  server.on('upgrade', onUpgrade);
  return () => {
    isStopped = true;
    server.off('upgrade', onUpgrade);
  };
}

const stranger = new Fault('UNAUTHENTICATED', 'The token is missing or not that of the workspace', {
  hint: 'Put the token of the workspace into AIRLOCK_DIAL_TOKEN_FILE of its agent',
});
const stopped = new Fault('DRAINING', 'The platform is shutting down');
const elsewhere = (path: string): Fault =>
  new Fault('NOT_FOUND', 'There is nothing at this path', { hint: `Agents connect to ${path}` });
const full = (max: number): Fault =>
  new Fault('RATE_LIMITED', `${max} connections are open already`, {
    hint: `Try again in ${FULL_SECONDS} s`,
  });
/** The error is not passed on: it may say something about the platform. */
const unknown = (cause: unknown): Fault =>
  new Fault('INTERNAL', 'The platform cannot say just now who this is', {
    cause: toFault(cause, 'Authenticating'),
    hint: 'Try again later',
  });

function refusalOf({ headers }: IncomingMessage): Fault | undefined {
  if (headers.origin !== undefined) {
    return new Fault('FORBIDDEN', 'The request has an Origin, and browsers are not served');
  }
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.includes(PROTOCOL)
    ? undefined
    : new Fault('INVALID_PARAMS', `Offer the subprotocol ${PROTOCOL}`);
}

async function soon<T>(work: Promise<T> | T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('it took too long')), AUTHENTICATE_MILLIS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function refuse(socket: Duplex, fault: Fault): void {
  const { status, code } = fault;
  const body = `${JSON.stringify(fault.toData())}\n`;
  const challenge = status === 401 ? 'WWW-Authenticate: Bearer\r\n' : '';
  const later = code === 'RATE_LIMITED' ? `Retry-After: ${FULL_SECONDS}\r\n` : '';
  // A peer that never closes its side would hold the socket.
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${challenge}${later}\r\n${body}`,
  );
}
