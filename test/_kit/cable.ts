/** A cable between a client and an agent that can be cut behind any byte, or go dead without anybody noticing. */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** How it ends: closed in order, torn with a reset, or dead: open on both sides, and nothing comes through any more. */
export type End = 'closed' | 'reset' | 'dead';

export class Cable {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #sent: { bytes: number };
  readonly #far: { port: number | undefined };

  private constructor(
    server: Server,
    sockets: Set<Socket>,
    sent: { bytes: number },
    far: { port: number | undefined },
  ) {
    this.#far = far;
    this.#server = server;
    this.#sockets = sockets;
    this.#sent = sent;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Bytes that have come through to the agent. */
  get sent(): number {
    return this.#sent.bytes;
  }

  /**
   * Lays a cable for one connection.
   *
   * @param bytes so many come through to the agent, then it ends.
   */
  static async lay(agentPort: number, bytes = Infinity, end: End = 'closed'): Promise<Cable> {
    const sockets = new Set<Socket>();
    const sent = { bytes: 0 };
    const far: { port: number | undefined } = { port: agentPort };
    const server = createServer((client) => {
      if (far.port === undefined) return void client.resetAndDestroy();
      const agent = connect(far.port, '127.0.0.1');
      const both = [client, agent] as const;
      const down = (): void => {
        if (end === 'dead' && sent.bytes >= bytes) return;
        for (const socket of both) socket.destroy();
      };
      for (const socket of both) {
        sockets.add(socket);
        socket.setNoDelay().on('error', down).on('close', down);
      }
      agent.on('data', (data) => {
        if (sent.bytes < bytes) client.write(data);
      });
      const pass = (data: Buffer): void => {
        const through = data.subarray(0, bytes - sent.bytes);
        sent.bytes += through.length;
        const last = sent.bytes >= bytes;
        agent.write(through, () => {
          if (last && end === 'reset') agent.resetAndDestroy();
        });
        if (!last || end === 'dead') return;
        if (end === 'closed') agent.end();
        client.destroy();
      };
      if (bytes === 0) pass(Buffer.alloc(0));
      client.on('data', (data) => {
        if (sent.bytes < bytes) pass(data);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Cable(server, sockets, sent, far);
  }

  /** Cuts what is connected just now; who connects again comes through. */
  truncate(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** Leads to another agent, or nowhere: its own port nobody else gets meanwhile, as may happen to that of an agent. */
  lead(agentPort: number | undefined): void {
    this.#far.port = agentPort;
  }

  close(): void {
    this.truncate();
    this.#server.close();
  }
}
