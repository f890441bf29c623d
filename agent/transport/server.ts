/** The server: one HTTP server that upgrades known callers, and a WebSocket for each. */
import { X509Certificate } from 'node:crypto';
import { type IncomingMessage, type RequestListener, type Server, createServer } from 'node:http';
import { type Server as TlsServer, createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';

import { WebSocketServer } from 'ws';

import type { Fault } from '../../shared/api/fault.ts';
import { PROTOCOL, WIRE } from '../../shared/api/rpc.ts';
import type { Traffic } from '../metrics/facts.ts';
import { attempt } from '../../shared/attempt.ts';
import { type Address, bind } from './bind.ts';
import { type Connection, type OpenSession, serve } from './connection.ts';
import { type PagesOptions, answerPages, hearRefused } from './pages.ts';
import { type Place, judge } from './upgrade-policy.ts';
import { Failures } from './rate-limit.ts';

/** In PEM. With `ca`, only clients with a certificate of it pass the handshake. */
export type TlsContext = { cert: Buffer; key: Buffer; ca: Buffer | undefined };

export type ListenOptions = PagesOptions & {
  address: Address;
  tls: TlsContext | undefined;
  session: OpenSession;
  traffic: Traffic;
};

/** A server that listens. */
export type Listening = {
  place: Place;
  /** For a Unix socket its path; the port is 0. */
  host: string;
  port: number;
  /** Closes the sessions whose token is no longer valid. Called regularly. */
  review(): void;
  /** When the certificate in use ends, in seconds since the epoch; undefined without TLS. */
  certificateEnds(): number | undefined;
  /** Uses other certificates from now on. Open connections stay. */
  useTls(tls: TlsContext): void;
  /** Accepts no more connections. Open ones stay. */
  stop(): void;
  /** Closes every connection with a code. Resolves when all are gone or the time (milliseconds) is up. */
  close(code: number, reason: string, graceMillis: number): Promise<void>;
};

/** The most connections at once, with those that are not upgraded yet, so that they cannot use up all file descriptors. */
const CONNECTIONS_MAX = 4 * WIRE.connections;
/** The time for the head of a request, or for the TLS handshake. */
const HEAD_MILLIS = 10_000;
const LIMITS = {
  headersTimeout: HEAD_MILLIS,
  requestTimeout: HEAD_MILLIS,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
};

/** @throws the error of the system, such as EADDRINUSE */
export async function listen(options: ListenOptions): Promise<Listening> {
  const { log, hear } = options;
  const failures = new Failures(Date.now);
  let place: Place = 'network';
  let ends = endOf(options.tls);
  const server = createFor(
    options.tls,
    answerPages(options, failures, () => place),
  );
  server.maxConnections = CONNECTIONS_MAX;
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: WIRE.frameBytes,
    handleProtocols: () => PROTOCOL,
    // The agent limits the time of closing itself; see close().
    clientTracking: true,
  });
  const connections = new Set<Connection>();
  let closing = false;
  const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    socket.on('error', () => socket.destroy());
    await options.refresh();
    if (closing) {
      socket.destroy();
      return;
    }
    const address = request.socket.remoteAddress;
    const admission = judge(request, { address, place, connected: sockets.clients.size }, options, failures);
    if ('refused' in admission) {
      hearRefused(admission, hear);
      if (admission.log) {
        log.info({ remote: address, why: admission.refused.message }, 'upgrade refused');
      }
      refuse(socket, admission.refused);
      return;
    }
    const { known } = admission;
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const child = log.child({ by: known.caller.label });
      const connection = serve(ws, known, options.session, child, options.traffic);
      connections.add(connection);
      ws.on('close', () => connections.delete(connection));
    });
  };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgrade(request, socket, head).catch((error: unknown) => {
      log.error({ err: error }, 'an upgrade could not be answered');
      socket.destroy();
    });
  });
  if (options.tls !== undefined) {
    server.on('tlsClientError', (error: Error, socket: { remoteAddress?: string }) => {
      const { remoteAddress } = socket;
      hear({ type: 'handshake.failed' });
      if (failures.count(remoteAddress).log) {
        log.info({ remote: remoteAddress, why: error.message }, 'handshake refused');
      }
    });
  }
  const bound = await bind(server, options.address);
  ({ place } = bound);
  server.on('error', (error) => log.error({ err: error }, 'a connection could not be accepted'));
  return {
    place,
    host: bound.host,
    port: bound.port,
    review: () => {
      for (const connection of connections) {
        connection.review();
      }
    },
    certificateEnds: () => ends,
    useTls: (tls) => {
      ends = endOf(tls);
      if ('setSecureContext' in server) {
        server.setSecureContext({ ...tls, minVersion: 'TLSv1.2' });
      }
    },
    stop: () => void server.close(),
    close: async (code, reason, graceMillis) => {
      closing = true;
      await closeAll(server, sockets, code, reason, graceMillis);
      bound.release();
    },
  };
}

function createFor(tls: TlsContext | undefined, listener: RequestListener): Server | TlsServer {
  if (tls === undefined) {
    return createServer(LIMITS, listener);
  }
  const mutual = tls.ca !== undefined;
  return createTlsServer(
    {
      ...LIMITS,
      ...tls,
      minVersion: 'TLSv1.2',
      handshakeTimeout: HEAD_MILLIS,
      requestCert: mutual,
      rejectUnauthorized: mutual,
    },
    listener,
  );
}

/** The end of the first certificate, which is that of the agent. One that cannot be read is refused elsewhere. */
function endOf(tls: TlsContext | undefined): number | undefined {
  const certificate = tls === undefined ? undefined : attempt(() => new X509Certificate(tls.cert));
  return certificate === undefined ? undefined : Date.parse(certificate.validTo) / 1000;
}

function refuse(socket: Duplex, fault: Fault): void {
  const { status, retryAfter } = fault;
  const body = `${JSON.stringify(fault.toData())}\n`;
  const challenge = status === 401 ? 'WWW-Authenticate: Bearer\r\n' : '';
  const later = retryAfter === undefined ? '' : `Retry-After: ${retryAfter}\r\n`;
  // A client that never closes its side would hold the socket and delay the end of the agent.
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${challenge}${later}\r\n${body}`,
  );
}

async function closeAll(
  server: Server | TlsServer,
  sockets: WebSocketServer,
  code: number,
  reason: string,
  graceMillis: number,
): Promise<void> {
  for (const ws of sockets.clients) {
    ws.close(code, reason);
  }
  await new Promise<void>((resolve) => {
    const patience = setTimeout(() => {
      for (const ws of sockets.clients) {
        ws.terminate();
      }
      server.closeAllConnections();
      resolve();
    }, graceMillis);
    server.close(() => {
      clearTimeout(patience);
      resolve();
    });
    server.closeIdleConnections();
  });
}
