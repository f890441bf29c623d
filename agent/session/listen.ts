/** The socket: one HTTP server that upgrades whoever is known, and a WebSocket for each. The only importer of ws. */
import { type IncomingMessage, type Server, createServer } from 'node:http';
import type { AddressInfo, Socket as NetSocket } from 'node:net';

import { type RawData, WebSocket, WebSocketServer } from 'ws';

import { Fault, type FaultCode } from '../../shared/fault.ts';
import { CLOSE, CONNECT_PATH, HEALTH_PATH, PROTOCOL, WIRE } from '../../shared/rpc.ts';
import type { Log } from '../log.ts';
import type { Caller } from './auth.ts';
import type { Session, Socket } from './session.ts';

export type ListenOptions = {
  host: string;
  /** 0 lets the system choose. */
  port: number;
  /** Who bears this `Authorization` header. */
  authenticate: (header: string | undefined) => Caller | undefined;
  session: (socket: Socket, caller: Caller, log: Log) => Session;
  log: Log;
};

/** A server that listens. */
export type Listening = {
  host: string;
  port: number;
  /** Takes no more connections; those that there are go on. */
  stop(): void;
  /** Closes every connection with a code, and resolves when all are gone or the time (milliseconds) is up. */
  close(code: number, reason: string, graceMillis: number): Promise<void>;
};

/** @throws the error of the system, such as EADDRINUSE */
export async function listen(options: ListenOptions): Promise<Listening> {
  const server = createServer((request, response) => {
    const path = pathOf(request);
    const known = path === HEALTH_PATH && request.method === 'GET';
    const upgrade = path === CONNECT_PATH ? { upgrade: 'websocket', connection: 'upgrade, close' } : {};
    response.writeHead(known ? 200 : path === CONNECT_PATH ? 426 : 404, {
      'content-type': 'application/json',
      ...upgrade,
    });
    response.end(
      known ? '{"status":"ok"}\n' : '{"error":"This server speaks airlock.v1 over a WebSocket"}\n',
    );
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 10_000;
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: WIRE.frameBytes,
    handleProtocols: () => PROTOCOL,
    // The agent bounds its own closing; see close().
    clientTracking: true,
  });
  server.on('upgrade', (request, socket: NetSocket, head) => {
    socket.on('error', () => socket.destroy());
    const answer = admit(request, sockets.clients.size, options);
    if ('refused' in answer) {
      options.log.info({ remote: request.socket.remoteAddress, why: answer.detail }, 'upgrade refused');
      refuse(socket, answer.refused, answer.detail);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => serve(ws, answer.caller, options));
  });
  await started(server, options);
  server.on('error', (error) => options.log.error({ err: error }, 'a connection could not be accepted'));
  const { address, port } = addressOf(server);
  return {
    host: address,
    port,
    stop: () => void server.close(),
    close: (code, reason, graceMillis) => closeAll(server, sockets, code, reason, graceMillis),
  };
}

type Admission = { caller: Caller } | { refused: FaultCode | 'PROTOCOL'; detail: string };

/** Judges an upgrade, the cheapest question first; nothing is said about which token would have been right. */
function admit(request: IncomingMessage, connected: number, { authenticate }: ListenOptions): Admission {
  if (pathOf(request) !== CONNECT_PATH) {
    return { refused: 'NOT_FOUND', detail: `Connect to ${CONNECT_PATH}` };
  }
  if (request.headers.origin !== undefined) {
    return { refused: 'FORBIDDEN', detail: 'Browsers are not served: the request has an Origin' };
  }
  const caller = authenticate(request.headers.authorization);
  if (caller === undefined) {
    return { refused: 'UNAUTHENTICATED', detail: 'The bearer token is missing or not known here' };
  }
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  if (!offered.includes(PROTOCOL)) {
    return { refused: 'PROTOCOL', detail: `Offer the subprotocol ${PROTOCOL}` };
  }
  if (connected >= WIRE.connections) {
    return { refused: 'RATE_LIMITED', detail: `${WIRE.connections} connections are open already` };
  }
  return { caller };
}

function refuse(socket: NetSocket, code: FaultCode | 'PROTOCOL', detail: string): void {
  const status = code === 'PROTOCOL' ? 400 : new Fault(code, detail).status;
  const body = `${JSON.stringify({ code: code === 'PROTOCOL' ? 'INVALID_PARAMS' : code, detail })}\n`;
  const challenge = status === 401 ? 'WWW-Authenticate: Bearer\r\n' : '';
  // A client that never closes its side would hold the socket for good, and with it the end of the agent.
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${challenge}\r\n${body}`,
  );
}

function serve(ws: WebSocket, caller: Caller, { session: open, log: parent }: ListenOptions): void {
  const log = parent.child({ by: caller.label });
  const socket: Socket = {
    sendText: (text) => ws.send(text),
    sendBinary: (frame) => ws.send(frame, { binary: true }),
    close: (code, reason) => ws.close(code, reason.slice(0, 120)),
    get buffered() {
      return ws.bufferedAmount;
    },
  };
  const session = open(socket, caller, log);
  let heard = Date.now();
  const beat = setInterval(() => {
    if (Date.now() - heard > WIRE.deadMillis) {
      ws.terminate();
    } else {
      ws.ping();
    }
  }, WIRE.pingMillis);
  const start = setTimeout(() => {
    if (!session.started) {
      ws.close(CLOSE.policy, 'no session.start');
    }
  }, WIRE.startMillis);
  const alive = (): void => {
    heard = Date.now();
  };
  ws.on('pong', alive);
  ws.on('ping', alive);
  ws.on('message', (data: RawData, isBinary) => {
    alive();
    if (ws.readyState !== WebSocket.OPEN) {
      // It is being closed for what it did: what it goes on to send counts no more.
      return;
    }
    const bytes = bufferOf(data);
    if (isBinary) {
      session.binary(bytes);
    } else {
      session.text(bytes.toString('utf8'));
    }
  });
  // ws closes by itself with the fitting code: 1009 for a frame too large, 1002 or 1007 for a broken one.
  ws.on('error', (error) => log.info({ err: error }, 'connection failed'));
  ws.on('close', (code) => {
    clearInterval(beat);
    clearTimeout(start);
    session.ended();
    log.info({ code }, 'connection closed');
  });
}

function bufferOf(data: RawData): Buffer {
  if (Array.isArray(data)) {
    return Buffer.concat(data);
  }
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?')[0] ?? '';

async function started(server: Server, { host, port }: ListenOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new Fault('INTERNAL', 'The server has no address');
  }
  return address;
}

async function closeAll(
  server: Server,
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
