/** docs/vectors/uploads.json: each conversation is played against a real agent, frame by frame. */
import { createHash } from 'node:crypto';

import { expect, test } from 'vitest';
import { WebSocket } from 'ws';

import type { UploadStep, UploadVectors } from '../../scripts/docs/upload-vectors.ts';
import { CONNECT_PATH, PROTOCOL } from '../../shared/api/rpc.ts';
import { type TestAgent, TOKEN, startTestAgent } from '../_kit/agent.ts';
import { LOOSE, differs, readVectors } from '../_kit/vectors.ts';

const { bundles, conversations } = await readVectors<UploadVectors>('uploads');

/** Plays the client of a conversation. */
class Player {
  readonly #agent: TestAgent;
  readonly #known: Map<string, unknown>;
  #socket: WebSocket | undefined;
  #came: unknown[] = [];
  #wake = (): void => {};

  constructor(agent: TestAgent, known: Map<string, unknown>) {
    this.#agent = agent;
    this.#known = known;
  }

  async play(step: UploadStep): Promise<void> {
    if ('agent' in step) {
      const expected = step.agent === 'closes' ? { close: step.code } : step.text;
      expect(differs(expected, await this.#next(), this.#known, LOOSE)).toBeUndefined();
    } else if (step.client === 'connects') {
      this.#connect();
    } else if (step.client === 'disconnects') {
      this.end();
    } else if ('text' in step) {
      this.#socket?.send(JSON.stringify(step.text));
    } else {
      this.#socket?.send(Buffer.from(step.hex, 'hex'));
    }
  }

  end(): void {
    this.#socket?.terminate();
  }

  #connect(): void {
    const { host, port } = this.#agent;
    this.#came = [];
    const came = this.#came;
    const add = (what: unknown): void => {
      came.push(what);
      this.#wake();
    };
    const headers = { authorization: `Bearer ${TOKEN}` };
    this.#socket = new WebSocket(`ws://${host}:${port}${CONNECT_PATH}`, [PROTOCOL], { headers });
    this.#socket.on('message', (data: Buffer) => add(JSON.parse(data.toString('utf8'))));
    this.#socket.on('close', (code) => add({ close: code }));
    this.#socket.on('error', (error) => add({ error: error.message }));
  }

  async #next(): Promise<unknown> {
    while (this.#came.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#came.shift();
  }
}

test('the bundles are what the vectors say of them', () => {
  for (const { base64, size, sha256 } of Object.values(bundles)) {
    const bytes = Buffer.from(base64, 'base64');
    expect([bytes.length, createHash('sha256').update(bytes).digest('hex')]).toEqual([size, sha256]);
  }
});

test('an agent says what the vectors say, frame by frame', async () => {
  const agent = await startTestAgent();
  const known = new Map<string, unknown>();
  for (const { name, steps } of conversations) {
    const player = new Player(agent, known);
    try {
      for (const [i, step] of steps.entries()) {
        await player.play(step).catch((error: unknown) => {
          throw new Error(`"${name}", step ${i}: ${(error as Error).message}`, { cause: error });
        });
      }
    } finally {
      player.end();
    }
  }
});
