/** An agent of the tests: a real WebSocket server that says what the test tells it to. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { WebSocket, WebSocketServer } from 'ws';

import type { Fault } from '../../shared/api/fault.ts';
import { type DataFrame, decodeFrame, encodeFrame } from '../../shared/api/frame.ts';
import type { Hello } from '../../shared/api/session.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { isMethod, methods } from '../../shared/api/methods.ts';
import {
  PROTOCOL,
  readMessage,
  writeFailure,
  writeNotification,
  writeSuccess,
} from '../../shared/api/rpc.ts';

export const HELLO: Hello = {
  agent: '0.1.0',
  workspace: 'w1',
  runtime: 'claude_code',
  bootId: 'boot-1',
  protocol: PROTOCOL,
  capabilities: [],
  limits: {
    frameBytes: 262_144,
    windowBytes: 1_048_576,
    requestsInFlight: 64,
    streamsInFlight: 8,
    packedBytes: 1e8,
    unpackedBytes: 1e8,
    entries: 50_000,
  },
};

/** An answer to an install. */
export function installed(plugin: string, changes: Partial<Installed> = {}): Installed {
  return {
    plugin,
    pluginVersion: '1.0.0',
    installId: '20260508T141530123Z-9f86d081',
    bundle: `sha256:${'a'.repeat(64)}`,
    tree: `sha256:${'b'.repeat(64)}`,
    files: 2,
    bytes: 100,
    installedAt: '2026-05-08T14:15:30.123Z',
    by: 'test',
    replaced: null,
    status: 'installed',
    reload: { kind: 'cold', action: 'restart', restarting: false, reasons: { items: [], total: 0 } },
    warnings: { items: [], total: 0 },
    ...changes,
  };
}

/** One connection, as the agent sees it. */
export type Peer = {
  socket: WebSocket;
  answer(id: string, result: unknown): void;
  refuse(id: string, fault: Fault): void;
  notify(method: string, params: unknown): void;
  frame(frame: DataFrame): void;
};

export type Behaviour = {
  /** Sent at once after the upgrade; null for silence. */
  hello?: unknown;
  /** Answers the upgrade with this status instead. */
  status?: { code: number; body?: string; headers?: Record<string, string> };
  subprotocol?: string | false;
  autoPong?: boolean;
  onRequest?: (request: { id: string; method: string; params: Record<string, unknown> }, peer: Peer) => void;
  onFrame?: (frame: DataFrame, peer: Peer) => void;
  onNotification?: (notification: { method: string; params: unknown }, peer: Peer) => void;
  onStart?: (peer: Peer) => void;
};

export type FakeAgent = {
  url: string;
  behaviour: Behaviour;
  upgrades: IncomingMessage[];
  peers: Peer[];
  /** The parameters of each start of a session. */
  starts: Record<string, unknown>[];
  /** What a client sent that no client may send. */
  violations: string[];
  close(): Promise<void>;
};

export async function fakeAgent(behaviour: Behaviour = {}): Promise<FakeAgent> {
  const http: Server = createServer();
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: () => agent.behaviour.subprotocol ?? PROTOCOL,
  });
  const agent: FakeAgent = {
    url: '',
    behaviour,
    upgrades: [],
    peers: [],
    starts: [],
    violations: [],
    close: async () => {
      for (const { socket } of agent.peers) socket.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  http.on('upgrade', (request, socket, head) => {
    agent.upgrades.push(request);
    const { status } = agent.behaviour;
    if (status !== undefined) {
      const headers = Object.entries({
        'Content-Length': `${Buffer.byteLength(status.body ?? '')}`,
        ...status.headers,
      });
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      socket.end(`HTTP/1.1 ${status.code} No\r\n${lines}Connection: close\r\n\r\n${status.body ?? ''}`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => serve(ws, agent));
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  agent.url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return agent;
}

type Dialled = Pick<FakeAgent, 'behaviour' | 'peers' | 'starts' | 'violations'>;

/** The same agent, dialled in to a platform. Resolves with its connection, or rejects with the status of the refusal. */
export function dialIn(agent: Dialled, url: string, headers: Record<string, string>): Promise<WebSocket> {
  const socket = new WebSocket(url, [PROTOCOL], { headers });
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      serve(socket, agent);
      resolve(socket);
    });
    socket.once('unexpected-response', (_request, response) => {
      response.setEncoding('utf8').on('data', (body: string) => {
        const retry = response.headers['retry-after'] ?? '';
        reject(new Error([response.statusCode, retry, body].join(' ')));
      });
    });
    socket.once('error', reject);
  });
}

function serve(socket: WebSocket, agent: Dialled): void {
  const peer: Peer = {
    socket,
    answer: (id, result) => socket.send(writeSuccess(id, result)),
    refuse: (id, fault) => socket.send(writeFailure(id, fault)),
    notify: (method, params) => socket.send(writeNotification(method, params)),
    frame: (frame) => socket.send(encodeFrame(frame)),
  };
  agent.peers.push(peer);
  socket.on('error', () => {});
  const hello = agent.behaviour.hello === undefined ? HELLO : agent.behaviour.hello;
  if (hello !== null) peer.notify('hello', hello);
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) {
      const read = decodeFrame(data);
      if (read.ok) agent.behaviour.onFrame?.(read.frame, peer);
      else agent.violations.push(read.why);
      return;
    }
    const read = readMessage(data.toString());
    if (!read.ok) {
      agent.violations.push(read.why);
    } else if (read.message.kind === 'request') {
      onRequest(read.message, peer, agent);
    } else if (read.message.kind === 'notification') {
      agent.behaviour.onNotification?.(read.message, peer);
    }
  });
}

function onRequest(
  { id, method, params }: { id: string; method: string; params: unknown },
  peer: Peer,
  agent: Dialled,
): void {
  const read = isMethod(method) ? methods[method].params.safeParse(params) : undefined;
  if (read?.success !== true) {
    agent.violations.push(`${method}: ${read?.error.message ?? 'unknown method'}`);
  }
  if (method === 'session.start') {
    agent.starts.push(params as Record<string, unknown>);
    peer.answer(id, { at: { bootId: HELLO.bootId, seq: 7 }, resumed: false });
    agent.behaviour.onStart?.(peer);
    return;
  }
  agent.behaviour.onRequest?.({ id, method, params: params as Record<string, unknown> }, peer);
}
