/** A platform of the tests: it answers the agents that dial in as a test says. Real sockets on the loopback. */
import { type IncomingMessage, Server, createServer } from 'node:http';
import { type ServerOptions, createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

import { onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';

import { PROTOCOL } from '../../shared/api/rpc.ts';

export type Answer =
  /** Upgrades; the test speaks on the socket. */
  | 'upgrade'
  /** Says nothing at all. */
  | 'nothing'
  /** An HTTP answer, as it stands on the wire. */
  | { raw: string };

export class FakePlatform {
  /** What the next upgrades are answered. */
  answer: Answer = 'upgrade';
  subprotocol: string | false = PROTOCOL;
  readonly upgrades: IncomingMessage[] = [];
  readonly sockets: Socket[] = [];
  readonly peers: WebSocket[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    const upgrader = new WebSocketServer({ noServer: true, handleProtocols: () => this.subprotocol });
    server.on('connection', (socket: Socket) => {
      this.sockets.push(socket);
      socket.on('error', () => undefined);
    });
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head) => {
      this.upgrades.push(request);
      if (this.answer !== 'upgrade') {
        // It sees that the other side hangs up only if it reads.
        socket.resume().on('end', () => socket.destroy());
        if (this.answer !== 'nothing') socket.write(this.answer.raw);
        return;
      }
      upgrader.handleUpgrade(request, socket, head, (peer) => {
        peer.on('error', () => undefined);
        this.peers.push(peer);
      });
    });
  }

  /** @param tls speaks TLS with this. */
  static async open(tls?: ServerOptions): Promise<FakePlatform> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const platform = new FakePlatform(server);
    onTestFinished(() => platform.close());
    return platform;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#server instanceof Server ? 'ws' : 'wss'}://127.0.0.1:${this.port}/v1/agents`;
  }

  /** Vanishes: connections break, and nothing listens at its port. */
  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}
