/** A cable between clients and an agent that can be cut behind any byte of either direction, go dead, or cut who is idle. */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Clock, steadyClock } from '../../shared/clock.ts';

/** How it ends: closed in order, torn with a reset, or dead: open on both sides, and nothing comes through any more. */
export type End = 'closed' | 'reset' | 'dead';
/** `up`: to the agent; `down`: to the client. */
export type Way = 'up' | 'down';
/** So many bytes of one direction come through, then both directions end. */
export type Cut = { way: Way; bytes: number; how: End };

export type CableOptions = {
  /** The n-th connection is cut like this; one without an entry is whole. */
  cuts?: readonly (Cut | undefined)[];
  /** A connection is cut if no byte comes from one of the two sides for so long. */
  idleMillis?: number;
  /** Each piece comes through so much later. */
  delayMillis?: number;
  /** What comes through is torn into pieces of at most so many bytes. */
  pieceBytes?: number;
  /** Sees what has come through. */
  tap?: (passage: Passage, way: Way, data: Buffer) => void;
  clock?: Clock;
};

/** One connection: the bytes that came through, and whether it was cut as planned or for being idle. */
export type Passage = Record<Way, number> & { ended: 'cut' | 'idle' | undefined };

export class Cable {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly passages: Passage[] = [];
  readonly #server: Server;
  readonly #options: CableOptions;
  readonly #sockets = new Set<Socket>();
  #far: number | undefined;

  private constructor(server: Server, far: number, options: CableOptions) {
    this.#server = server;
    this.#far = far;
    this.#options = options;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => this.#connect(client));
  }

  /** Lays a cable. */
  static async lay(agentPort: number, options: CableOptions = {}): Promise<Cable> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Cable(server, agentPort, options);
  }

  get url(): string {
    return `ws://${this.host}:${this.port}`;
  }

  /** Bytes that have come through to the agent, over all connections. */
  get sent(): number {
    return this.passages.reduce((sum, { up }) => sum + up, 0);
  }

  /** Cuts what is connected just now; who connects again comes through. */
  truncate(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** Leads to another agent, or nowhere: its own port nobody else gets meanwhile, as may happen to that of an agent. */
  lead(agentPort: number | undefined): void {
    this.#far = agentPort;
  }

  close(): void {
    this.truncate();
    this.#server.close();
  }

  #connect(client: Socket): void {
    const cut = this.#options.cuts?.[this.passages.length];
    const passage: Passage = { up: 0, down: 0, ended: undefined };
    this.passages.push(passage);
    if (this.#far === undefined) return void client.resetAndDestroy();
    const agent = connect({ port: this.#far, host: '127.0.0.1', allowHalfOpen: true });
    const ends = { up: agent, down: client };
    let isOver = false;
    const destroy = (): void => {
      stopIdle();
      if (cut?.how === 'dead' && isOver) return;
      isOver = true;
      agent.destroy();
      client.destroy();
    };
    const stopIdle = this.#watchIdle(passage, () => {
      passage.ended = 'idle';
      destroy();
    });
    for (const socket of [agent, client]) {
      this.#sockets.add(socket);
      socket.setNoDelay().on('error', destroy);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        destroy();
      });
    }
    const end = ({ way, how }: Cut): void => {
      isOver = true;
      stopIdle();
      passage.ended = 'cut';
      const [near, far] = way === 'up' ? [client, agent] : [agent, client];
      if (how === 'reset') {
        near.resetAndDestroy();
        far.resetAndDestroy();
      } else if (how === 'closed') {
        // What came through arrives before the end does.
        far.end(() => near.destroy());
      }
    };
    for (const way of ['up', 'down'] as const) {
      const limit = cut?.way === way ? cut.bytes : Infinity;
      const [from, to] = way === 'up' ? [client, agent] : [agent, client];
      const pass = (data: Buffer): void => {
        if (isOver) return;
        const through = data.subarray(0, limit - passage[way]);
        passage[way] += through.length;
        const isLast = passage[way] >= limit;
        if (isLast) isOver = true;
        this.#options.tap?.(passage, way, through);
        to.write(through, () => {
          if (isLast && cut !== undefined) end(cut);
        });
      };
      if (limit === 0) pass(Buffer.alloc(0));
      this.#forward(from, pass, () => {
        if (!isOver) ends[way].end();
      });
    }
  }

  /** Hands on what comes from a socket, in its order. */
  #forward(from: Socket, pass: (data: Buffer) => void, ended: () => void): void {
    const { delayMillis, pieceBytes = Infinity } = this.#options;
    let tail: Promise<unknown> = Promise.resolve();
    from.on('data', (data: Buffer) => {
      if (delayMillis === undefined && data.length <= pieceBytes) return pass(data);
      for (let at = 0; at < data.length; at += pieceBytes) {
        const piece = data.subarray(at, Math.min(data.length, at + pieceBytes));
        tail = tail.then(() => sleep(delayMillis ?? 0)).then(() => pass(piece));
      }
    });
    from.on('end', () => {
      tail = tail.then(ended);
    });
  }

  /** @returns how to stop it. */
  #watchIdle(passage: Passage, cut: () => void): () => void {
    const { idleMillis, clock = steadyClock } = this.#options;
    if (idleMillis === undefined) return () => undefined;
    const last = { up: { bytes: -1, at: 0 }, down: { bytes: -1, at: 0 } };
    let stop = (): void => undefined;
    const look = (): void => {
      for (const way of ['up', 'down'] as const) {
        if (passage[way] > last[way].bytes) last[way] = { bytes: passage[way], at: clock.now() };
      }
      const isIdle = Object.values(last).some(({ at }) => clock.now() - at >= idleMillis);
      if (isIdle) cut();
      else stop = clock.after(idleMillis / 20, look);
    };
    look();
    return () => stop();
  }
}
