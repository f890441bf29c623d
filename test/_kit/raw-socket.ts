/** A WebSocket by hand: frames that no library would send. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';

import { onTestFinished } from 'vitest';

import { CONNECT_PATH, PROTOCOL } from '../../shared/api/rpc.ts';
import { TOKEN } from './agent.ts';

type Address = { host: string; port: number };
export type FrameLook = { opcode: number; fin?: boolean; rsv?: number; masked?: boolean };

/** One frame, as it stands on the wire. */
export function frameOf(payload: Buffer, { opcode, fin = true, rsv = 0, masked = true }: FrameLook): Buffer {
  const { length } = payload;
  const [code, extended] = length < 126 ? [length, 0] : length < 65_536 ? [126, 2] : [127, 8];
  const head = Buffer.alloc(2 + extended);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | code;
  if (extended === 2) head.writeUInt16BE(length, 2);
  if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return Buffer.concat([head, payload]);
  const mask = randomBytes(4);
  const covered = payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  return Buffer.concat([head, mask, covered]);
}

export const textFrame = (text: string): Buffer => frameOf(Buffer.from(text), { opcode: 1 });

/** Connects without a word. */
export async function rawSocket({ host, port }: Address): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

export class RawWire {
  readonly socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
  }

  /** Connects, upgrades and starts the session. */
  static async start(address: Address): Promise<RawWire> {
    const wire = new RawWire(await rawSocket(address));
    wire.socket.write(
      `GET ${CONNECT_PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n` +
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${PROTOCOL}\r\n\r\n`,
    );
    const params = { client: 'raw', events: [] };
    const ask = { jsonrpc: '2.0', id: 'start', method: 'session.start', params };
    await once(wire.socket, 'data');
    wire.socket.write(textFrame(JSON.stringify(ask)));
    await wire.until('"id":"start"');
    return wire;
  }

  /** Waits for words that the agent says. */
  async until(words: string): Promise<void> {
    while (!this.#bytes.includes(words)) {
      await once(this.socket, 'data');
    }
  }

  /** The code with which the agent closes: that of the last frame. */
  async closed(): Promise<number | undefined> {
    while (!this.socket.readableEnded && !this.socket.destroyed) {
      await Promise.race([once(this.socket, 'end'), once(this.socket, 'close')]);
    }
    const at = this.#bytes.lastIndexOf(0x88);
    return at === -1 ? undefined : this.#bytes.readUInt16BE(at + 2);
  }
}
