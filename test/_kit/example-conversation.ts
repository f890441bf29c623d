/** A conversation with a real agent that is recorded frame by frame, for the examples of the protocol. */
import { once } from 'node:events';

import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';

import { type ExampleBundle, exampleBundle } from '../../scripts/docs/example-bundle.ts';
import type { Event } from '../../shared/api/events.ts';
import { encodeFrame } from '../../shared/api/frame.ts';
import { type MethodName, type Params, type Result, methods } from '../../shared/api/methods.ts';
import { CONNECT_PATH, PROTOCOL, readMessage } from '../../shared/api/rpc.ts';
import { type TestAgent, TOKEN } from './agent.ts';

/** A frame, as it went over the wire; `>` is of the client. */
export type Recorded = { from: '>' | '<' } & ({ json: unknown } | { binary: Buffer });

/** Another version of the plugin of an example. */
export const pluginBundle = (name: string, version: string): ExampleBundle =>
  exampleBundle({
    'plugin.yaml': `name: ${name}\nversion: ${version}\n`,
    'rules/tone.md': 'Be brief.\n',
    'skills/greet/SKILL.md': `---\nname: greet\ndescription: Greets as version ${version} does.\n---\n\nSay hello.\n`,
  });

type Answer = { result?: unknown; error?: { data: unknown } };

/** One connection. What happens in {@link unseen} is not part of the example. */
export class ExampleConversation {
  readonly agent: TestAgent;
  /** What was recorded for the example. */
  readonly recorded: Recorded[] = [];
  /** The events that came. */
  readonly events: Event[] = [];
  readonly #socket: WebSocket;
  readonly #answers = new Map<string, Answer>();
  readonly #windows: unknown[] = [];
  #wake: (() => void)[] = [];
  #isSeen = true;
  #ids = 0;
  #unseenIds = 0;
  #binaries = 0;
  #resets = 0;
  #closed: number | undefined;

  private constructor(agent: TestAgent, socket: WebSocket) {
    this.agent = agent;
    this.#socket = socket;
    socket.on('message', (data: Buffer, isBinary) => this.#hear(data, isBinary));
    socket.on('close', (code) => {
      this.#closed = code;
      this.#changed();
    });
    socket.on('error', () => undefined);
  }

  /** Connects, and starts the session unless the example is about that. */
  static async open(agent: TestAgent, started = true): Promise<ExampleConversation> {
    const socket = new WebSocket(`ws://${agent.host}:${agent.port}${CONNECT_PATH}`, [PROTOCOL], {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const conversation = new ExampleConversation(agent, socket);
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    await conversation.#until(() => conversation.recorded.length > 0 || undefined);
    if (started) {
      await conversation.unseen(async () => {
        conversation.recorded.length = 0;
        await conversation.call('session.start', { client: 'example', events: 'all' });
      });
    }
    return conversation;
  }

  /** Calls a method. The answer must be one of its row. */
  async call<M extends MethodName>(method: M, params: Params<M>): Promise<Result<M>> {
    const { result, error } = await this.ask(method, params);
    if (error !== undefined) throw new Error(`"${method}" was refused: ${JSON.stringify(error)}`);
    return methods[method].result.parse(result) as Result<M>;
  }

  /** Sends any request, also a wrong one, and waits for its answer or error. */
  async ask(method: string, params: unknown): Promise<Answer> {
    const id = this.#isSeen ? String((this.#ids += 1)) : `unseen-${(this.#unseenIds += 1)}`;
    this.#say({ jsonrpc: '2.0', id, method, params });
    return this.#until(() => this.#answers.get(id));
  }

  notify(method: string, params: object): void {
    this.#say({ jsonrpc: '2.0', method, params });
  }

  /** Sends data of a stream. */
  send(stream: number, offset: number, data: Uint8Array, fin: boolean): void {
    const binary = encodeFrame({ stream, offset, fin, data });
    if (this.#isSeen) this.recorded.push({ from: '>', binary });
    this.#socket.send(binary);
  }

  /** Waits for the next window of the agent. */
  async window(): Promise<void> {
    await this.#until(() => this.#windows.shift());
  }

  /** Waits for a reset. */
  async reset(): Promise<void> {
    const before = this.#resets;
    await this.#until(() => this.#resets > before || undefined);
  }

  /** Waits for data of a stream of the agent. */
  async data(): Promise<void> {
    const before = this.#binaries;
    await this.#until(() => this.#binaries > before || undefined);
  }

  /** Waits for an event. */
  async event(type: string): Promise<Event> {
    return this.#until(() => this.events.find((event) => event.type === type));
  }

  /** Waits until the agent closes the connection. @returns the code. */
  async closed(): Promise<number> {
    return this.#until(() => this.#closed);
  }

  /** Prepares something that is not part of the example. */
  async unseen<T>(work: () => Promise<T>): Promise<T> {
    this.#isSeen = false;
    try {
      return await work();
    } finally {
      this.#isSeen = true;
    }
  }

  /** Installs a version; the operation id says that it is no part of an example. */
  async install(plugin: string, version: string): Promise<Result<'install.commit'>> {
    return this.unseen(async () => {
      const { size, sha256, bytes } = pluginBundle(plugin, version);
      const operationId = `unseen-${plugin}-${version.replaceAll('.', '-')}`;
      const begun = await this.call('install.begin', { operationId, plugin, bundle: { size, sha256 } });
      if (begun.status !== 'open') return begun;
      this.send(begun.stream, 0, bytes, true);
      return this.call('install.commit', { operationId });
    });
  }

  end(): void {
    this.#socket.terminate();
  }

  #say(json: object): void {
    if (this.#isSeen) this.recorded.push({ from: '>', json });
    this.#socket.send(JSON.stringify(json));
  }

  #hear(data: Buffer, isBinary: boolean): void {
    if (isBinary) {
      this.#binaries += 1;
      if (this.#isSeen) this.recorded.push({ from: '<', binary: Buffer.from(data) });
    } else {
      this.#hearText(data.toString('utf8'));
    }
    this.#changed();
  }

  #hearText(text: string): void {
    const read = readMessage(text);
    if (!read.ok) throw new Error(`The agent sent something malformed: ${read.why}`);
    const json = JSON.parse(text) as Answer & { id?: string; method?: string; params: Event };
    if (json.id !== undefined) this.#answers.set(json.id, json);
    if (json.method === 'event') this.events.push(json.params);
    if (json.method === 'window') this.#windows.push(json.params);
    if (json.method === 'reset') this.#resets += 1;
    // Events have a part of their own in the page.
    if (this.#isSeen && json.method !== 'event') this.recorded.push({ from: '<', json });
  }

  #changed(): void {
    const woken = this.#wake;
    this.#wake = [];
    for (const wake of woken) wake();
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.#closed !== undefined) throw new Error(`The connection was closed with ${this.#closed}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}
