/** The engine thread: takes messages, works on the disk, answers. One task at a time. */
import { parentPort, workerData } from 'node:worker_threads';

import { Fault, toFault } from '../../shared/api/fault.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import { nodeDisk, withoutSyncs } from '../disk/node-disk.ts';
import { removeTree } from '../disk/record.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { Install } from '../change/install.ts';
import { Export } from '../store/export.ts';
import { handle } from './handlers.ts';
import { ENGINE, type EngineData, type Envelope, type FromEngine, type ToEngine } from './messages.ts';

/** Whether this thread was started as an engine. */
export const isEngine = (data: unknown): data is EngineData =>
  typeof data === 'object' && data !== null && 'kind' in data && data.kind === ENGINE;

/** Runs the engine in this thread until its port is closed. */
export function runThread(): void {
  const port = parentPort;
  const data: unknown = workerData;
  if (port === null || !isEngine(data)) {
    throw new Fault('INTERNAL', 'This file runs only as a thread of an agent');
  }
  const engine = new Engine(data, (envelope, transfer) => port.postMessage(envelope, transfer));
  // Messages are handled one after the other: each waits until the promise of the one before has settled.
  let tail: Promise<void> = Promise.resolve();
  port.on('message', (envelope: Envelope<ToEngine>) => {
    engine.hear(envelope);
    tail = tail.then(() => engine.take(envelope));
  });
}

/** Messages that continue a task. All others begin one. */
const CONTINUES: ReadonlySet<ToEngine['kind']> = new Set(['data', 'commit', 'install', 'abort', 'pull']);

/** @param transfer memory that the receiver gets instead of a copy. */
type Send = (envelope: Envelope<FromEngine>, transfer?: ArrayBuffer[]) => void;

class Engine {
  readonly #context: StoreContext;
  readonly #send: Send;
  /** The running task; undefined between tasks. */
  #task: number | undefined;
  #install: Install | undefined;
  #export: Export | undefined;
  #taken = 0;
  /** Trees to remove when the task needs no lock any more. */
  #trash: string[] = [];

  constructor({ root, loadedDir, policy, owner, durability, restartRuns }: EngineData, send: Send) {
    this.#send = send;
    this.#context = {
      disk: durability === 'full' ? nodeDisk : withoutSyncs(nodeDisk),
      layout: layoutOf(root, loadedDir),
      policy,
      ignore: createIgnore(policy.ignore),
      now: Date.now,
      owner,
      tell: (event) => this.#say({ kind: 'event', event }),
      complain: (fault) => this.#say({ kind: 'complaint', fault: fault.toData(), stack: stackOf(fault) }),
      restartRuns: restartRuns && (() => Atomics.load(restartRuns, 0) !== 0),
      removeLater: (path) => void this.#trash.push(path),
    };
  }

  /** An abort waits for its turn, but what it aborts need not be waited for. */
  hear({ task, message }: Envelope<ToEngine>): void {
    if (message.kind === 'abort' && task === this.#task) {
      this.#install?.interrupt();
    }
  }

  async take({ task, message }: Envelope<ToEngine>): Promise<void> {
    if (CONTINUES.has(message.kind) && task !== this.#task) {
      return;
    }
    this.#task = task;
    try {
      await this.#run(message);
    } catch (error) {
      this.#install?.abort();
      this.#export?.close();
      const fault = toFault(error, `The task "${message.kind === 'call' ? message.name : message.kind}"`);
      this.#say({ kind: 'failed', fault: fault.toData(), stack: stackOf(fault) });
      this.#done();
    }
  }

  #say(message: FromEngine, transfer?: ArrayBuffer[]): void {
    if (this.#task !== undefined) {
      this.#send({ task: this.#task, message }, transfer);
    }
  }

  #done(): void {
    this.#removeTrash();
    this.#say({ kind: 'done' });
    this.#install = undefined;
    this.#export = undefined;
    this.#task = undefined;
  }

  #removeTrash(): void {
    const paths = this.#trash;
    this.#trash = [];
    if (paths.length === 0) return;
    const { disk } = this.#context;
    this.#say({ kind: 'tidied' });
    for (const path of paths) {
      attempt(this.#context, `Removing "${path}"`, () => removeTree(disk, path));
    }
  }

  async #run(message: ToEngine): Promise<void> {
    switch (message.kind) {
      case 'call': {
        const { answer, collect } = await handle(this.#context, message.name, message.params, message.by);
        this.#say({ kind: 'answer', answer });
        collect();
        return this.#done();
      }
      case 'begin':
        return this.#begin(new Install(this.#context, message.params, message.by, message.question));
      case 'data':
        return this.#data(message.bytes);
      case 'commit':
        return this.#say({ kind: 'validated', directories: await this.#current().validate() });
      case 'install':
        return this.#finish(this.#current());
      case 'export':
        this.#export = Export.open(this.#context, message.params);
        return this.#say({ kind: 'answer', answer: this.#export.answer });
      case 'pull':
        return this.#pull();
      case 'abort':
        this.#install?.abort();
        this.#export?.close();
        return this.#done();
      default:
        return message satisfies never;
    }
  }

  #begin(install: Install): void {
    const begun = install.begin();
    if (typeof begun === 'string') {
      this.#install = install;
      this.#taken = 0;
      this.#say({ kind: 'opened', stamp: begun });
    } else {
      this.#say({ kind: 'settled', answer: begun });
      this.#done();
    }
  }

  async #data(bytes: Uint8Array): Promise<void> {
    const install = this.#current();
    await install.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#taken += bytes.length;
    this.#say({ kind: 'taken', offset: this.#taken, fault: install.failure?.toData() });
  }

  #finish(install: Install): void {
    this.#say({ kind: 'installed', answer: install.install() });
    install.collect();
    this.#done();
  }

  #pull(): void {
    if (this.#export === undefined) {
      throw new Fault('CONFLICT', 'No export is in progress in this thread');
    }
    const { bytes, isLast } = this.#export.next();
    this.#say({ kind: 'piece', bytes, isLast }, [bytes.buffer]);
    if (isLast) this.#done();
  }

  #current(): Install {
    if (this.#install === undefined) {
      throw new Fault('CONFLICT', 'No install is in progress in this thread');
    }
    return this.#install;
  }
}

/** The stack with its causes, for the log. It is never sent to a client. */
function stackOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) {
    return undefined;
  }
  const cause = stackOf(error.cause);
  return `${error.stack ?? error.message}${cause === undefined ? '' : `\ncaused by ${cause}`}`;
}
