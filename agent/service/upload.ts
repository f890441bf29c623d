/**
 * One install in the main thread: the bytes that come over a connection, the thread that works on them, the lane, the
 * answer. It survives its connection: another one may continue the stream.
 */
import type { EventBody } from '../../shared/api/events.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import { sentOf } from '../../shared/api/install.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import type { SettingsPart } from '../../shared/api/settings.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Lanes } from '../../shared/lanes.ts';
import { discard } from '../worker/client.ts';
import { deferred } from '../worker/deferred.ts';
import type { ThreadLeases } from '../worker/fair-pool.ts';
import type { FromEngine } from '../worker/messages.ts';
import type { Engine } from '../worker/pool.ts';
import type { Release } from '../disk/lock-record.ts';
import type { Failure } from './failure-notes.ts';
import type { PluginLocks } from './plugin-locks.ts';
import { ReceiveWindow, isHopeless } from './receive-window.ts';

/** The part of an upload that the sender of the bytes uses. */
export type Inflow = Pick<Upload, 'accept' | 'detach'>;

type Stage = 'opening' | 'receiving' | 'committed' | 'installing' | 'ended';

export class Upload {
  readonly params: BeginParams;
  readonly question: string | undefined;
  readonly #by: string;
  readonly #dependencies: UploadDependencies;
  readonly #opened = deferred<Installed | undefined>();
  readonly #validated = deferred<readonly string[]>();
  readonly #answered = deferred<Installed>();
  /** Resolves when no lock is needed any more: only the removal of old trees is left, or the task has failed. */
  readonly #done = deferred<void>();
  readonly #timers: Timers<'stall' | 'resume' | 'deadline'>;
  readonly #intake: ReceiveWindow;
  readonly #batch = new Batch((bytes) => this.#engine?.say({ kind: 'data', bytes }, [bytes.buffer]));
  #engine: Engine | undefined;
  #stage: Stage = 'opening';
  #failed = false;
  /** The thread was told to install, so live may have changed. */
  #touching = false;
  #stamp: string | undefined;
  #link: Link | undefined;
  /** Releases the plugin's lock. */
  #release: Release | undefined;

  /** @param question the digest of the request, if it is another one than `install.begin`. */
  constructor(params: BeginParams, by: string, dependencies: UploadDependencies, question?: string) {
    this.params = params;
    this.question = question;
    this.#by = by;
    this.#dependencies = dependencies;
    this.#timers = new Timers(dependencies.clock);
    this.#intake = new ReceiveWindow(sentOf(params).size, WIRE.windowBytes);
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** Bytes may still come, and a new connection can take over. */
  get receiving(): boolean {
    return this.#stage === 'opening' || this.#stage === 'receiving';
  }

  get received(): number {
    return this.#intake.received;
  }

  /** It is the client's turn: to connect, to send or to commit. */
  get awaitsClient(): boolean {
    const { mayCome, fin } = this.#intake;
    return this.#stage === 'receiving' && (this.#link === undefined || mayCome || fin);
  }

  /** Resolves when bytes may come, or with the answer if none are needed. */
  get opened(): Promise<Installed | undefined> {
    return this.#opened.promise;
  }

  /** Takes the plugin's lock and a thread, and begins the install there; {@link opened} has the result. */
  async start(): Promise<void> {
    const { pool, timeouts, pluginLocks } = this.#dependencies;
    if (this.#stage !== 'opening') {
      await this.#over();
      return;
    }
    this.#arm('deadline', timeouts.deadline, 'The install took too long');
    try {
      this.#release = await pluginLocks.hold(this.params.plugin);
      const engine = await pool.lease(
        { message: (message) => this.#hear(message), crash: (fault) => this.#crashed(fault) },
        this,
      );
      if (this.#stage === 'opening') {
        this.#engine = engine;
        engine.say({ kind: 'begin', params: this.params, by: this.#by, question: this.question });
      } else {
        engine.release();
        await this.#over();
      }
    } catch (error) {
      this.#finish(toFault(error, 'Getting an engine thread'));
      await this.#over();
    }
  }

  /** The thread needs the plugin's lock no more, so it is released. */
  async #over(): Promise<void> {
    const release = this.#release;
    this.#release = undefined;
    await release?.();
    this.#done.resolve();
  }

  /** Takes the bytes from this link from now on. @returns where the sender continues and how far it may send. */
  attach(link: Link): { offset: number; limit: number } {
    this.#link?.drop();
    this.#link = link;
    this.#timers.stop('resume');
    this.#expectBytes();
    return { offset: this.#intake.received, limit: this.#intake.limit };
  }

  /** The link is gone. The upload waits for another one for a while. */
  detach(link: Link): void {
    if (this.#link === link) {
      this.#link = undefined;
      this.#timers.stop('stall');
      if (this.receiving) {
        this.#arm('resume', this.#dependencies.timeouts.resume, 'The connection was gone for too long');
      }
    }
  }

  /** Takes bytes. A sender that breaks the rules of the stream fails its upload. */
  accept(offset: number, data: Uint8Array, fin: boolean): void {
    if (this.#stage !== 'receiving') return;
    const wrong = this.#intake.accept(offset, data.length, fin);
    if (wrong !== undefined) {
      this.#end(wrong);
      return;
    }
    this.#batch.add(data);
    if (data.length > 0 || fin) {
      this.#expectBytes();
    }
  }

  /** Installs the received bundle once. A repeated call waits for the same answer. */
  async commit(): Promise<Installed> {
    if (!this.receiving) {
      return this.#answered.promise;
    }
    if (!this.#intake.fin) {
      const detail = `Only ${this.#intake.received} of ${sentOf(this.params).size} bytes came in before the commit`;
      throw new Fault('CONFLICT', detail, {
        hint: 'Send the rest and the FIN, then commit again',
        retry: 'same',
      });
    }
    this.#install().catch(() => undefined);
    return this.#answered.promise;
  }

  /** Aborts the upload, unless the swap has begun. @returns whether it was aborted. */
  abort(fault: Fault): boolean {
    if (this.#stage === 'installing' || this.#stage === 'ended') {
      return false;
    }
    this.#end(fault);
    return true;
  }

  /** Waits until the thread no longer works on this upload. */
  async settled(): Promise<void> {
    await this.#answered.promise.catch(() => undefined);
    await this.#done.promise;
  }

  /** Takes its place in the lane at once, so that the order is that of the commits and not of the validations. */
  async #install(): Promise<void> {
    this.#stage = 'committed';
    this.#timers.stop('resume');
    this.#batch.flush();
    this.#engine?.say({ kind: 'commit' });
    await this.#dependencies.lanes.run(this.params.plugin, async () => {
      const directories = await this.#validated.promise;
      if (this.#stage !== 'committed') {
        return;
      }
      this.#stage = 'installing';
      this.#timers.stop('deadline');
      if (this.#stamp !== undefined) {
        await this.#dependencies.swapping(this.params.plugin, this.#stamp, directories);
      }
      if (this.#failed) return;
      this.#touching = true;
      this.#engine?.say({ kind: 'install' });
      await this.#done.promise;
    });
  }

  #hear(message: FromEngine): void {
    switch (message.kind) {
      case 'opened':
        this.#stamp = message.stamp;
        if (this.#stage === 'opening') {
          this.#stage = 'receiving';
          this.#opened.resolve(undefined);
        }
        break;
      case 'settled':
        this.#opened.resolve(message.answer);
        this.#answer(message.answer);
        break;
      case 'taken':
        this.#takenIn(message);
        break;
      case 'validated':
        this.#validated.resolve(message.directories);
        break;
      case 'installed':
        this.#answer(message.answer);
        break;
      case 'failed': {
        const fault = Fault.from(message.fault);
        this.#dependencies.complain(fault, message.stack);
        this.#finish(fault);
        break;
      }
      case 'event':
        this.#dependencies.tell(message.event);
        break;
      case 'complaint':
        this.#dependencies.complain(Fault.from(message.fault), message.stack);
        break;
      case 'tidied':
      case 'done':
        void this.#over();
        break;
      case 'answer':
      case 'piece':
        // They belong to calls and exports.
        break;
      default:
        message satisfies never;
    }
  }

  #takenIn({ offset, fault }: FromEngine & { kind: 'taken' }): void {
    this.#batch.taken();
    this.#intake.take(offset);
    if (fault !== undefined && isHopeless(fault.code)) {
      this.#end(Fault.from(fault));
    } else if (this.#stage === 'receiving') {
      this.#link?.grant(offset, this.#intake.limit);
      this.#expectBytes();
    }
  }

  #crashed(fault: Fault): void {
    // Before the install began, live cannot have changed. Afterwards slot and receipt may belong to live.
    const harmless = !this.#touching;
    const { code, message, hint, cause } = fault;
    this.#finish(new Fault(code, message, { hint, cause, executed: harmless ? 'no' : 'maybe' }));
    const stamp = harmless ? this.#stamp : undefined;
    const left = stamp === undefined ? undefined : discard(this.#dependencies, this.params.plugin, stamp);
    void Promise.resolve(left).then(() => this.#over());
  }

  /** Silence is a stall only if it is the sender's turn. */
  #expectBytes(): void {
    if (this.#link !== undefined && this.#stage === 'receiving' && this.#intake.mayCome) {
      this.#arm('stall', this.#dependencies.timeouts.stall, 'No byte came in for too long');
    } else {
      this.#timers.stop('stall');
    }
  }

  #arm(timer: 'stall' | 'resume' | 'deadline', millis: number, why: string): void {
    const detail = `${why} (${Math.round(millis / 1000)} s): the upload of "${this.params.plugin}" is given up`;
    // After the deadline the same request takes as long again, unless something changes.
    const again =
      timer === 'deadline'
        ? ({
            retry: 'later',
            hint: 'Find out what takes so long, then begin again with the same operation id',
          } as const)
        : { hint: 'Begin again with the same operation id' };
    this.#timers.start(timer, millis, () => this.abort(new Fault('DEADLINE', detail, again)));
  }

  #answer(answer: Installed): void {
    this.#answered.resolve(answer);
    this.#leave();
  }

  /** Fails the upload from the main thread, and tells the thread to remove the slot. */
  #end(fault: Fault): void {
    this.#engine?.say({ kind: 'abort' });
    this.#finish(fault);
  }

  #finish(fault: Fault): void {
    if (this.#stage === 'ended') {
      return;
    }
    this.#failed = true;
    const { operationId, plugin } = this.params;
    this.#dependencies.tell({ type: 'install.failed', data: { operationId, plugin, error: fault.toData() } });
    const { source, bundle } = this.params;
    const about = { source, bundle: `sha256:${bundle.sha256}`, stamp: this.#stamp };
    this.#dependencies.failed({ plugin, op: 'install', operationId, by: this.#by, fault, ...about });
    for (const waiting of [this.#opened, this.#validated, this.#answered]) {
      waiting.reject(fault);
    }
    this.#leave(fault);
  }

  #leave(fault?: Fault): void {
    this.#stage = 'ended';
    this.#timers.stopAll();
    this.#link?.drop(fault);
    this.#link = undefined;
  }
}

/** A quarter of the window: the thread always has another message to work on, and few messages are needed. */
const MESSAGE_BYTES = WIRE.windowBytes / 4;

/** While the thread is busy, bytes are gathered into messages of the largest size. */
export class Batch {
  readonly #say: (bytes: Uint8Array<ArrayBuffer>) => void;
  #gathered: Uint8Array<ArrayBuffer> | undefined;
  #length = 0;
  #underWay = 0;

  constructor(say: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#say = say;
  }

  /** Copies the data, because its buffer is reused. */
  add(data: Uint8Array): void {
    if (this.#underWay === 0 && data.length > 0) {
      this.#send(new Uint8Array(data));
      return;
    }
    for (let from = 0; from < data.length;) {
      this.#gathered ??= new Uint8Array(MESSAGE_BYTES);
      const part = data.subarray(from, from + MESSAGE_BYTES - this.#length);
      this.#gathered.set(part, this.#length);
      this.#length += part.length;
      from += part.length;
      if (this.#length === MESSAGE_BYTES) {
        this.flush();
      }
    }
  }

  /** The thread has finished a message. */
  taken(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) {
      this.flush();
    }
  }

  /** Sends the gathered bytes. */
  flush(): void {
    const gathered = this.#gathered;
    if (gathered !== undefined && this.#length > 0) {
      const isFull = this.#length === gathered.length;
      const bytes = isFull ? gathered : gathered.slice(0, this.#length);
      this.#gathered = isFull ? undefined : gathered;
      this.#length = 0;
      this.#send(bytes);
    }
  }

  #send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#underWay += 1;
    this.#say(bytes);
  }
}

/** The stream of a connection that brings the bytes. */
export type Link = {
  stream: number;
  /** Tells the sender what is taken in and how far it may send, both absolute. */
  grant(offset: number, limit: number): void;
  /** The upload has another link or needs none. With a fault the upload has failed, and the sender is told. */
  drop(fault?: Fault): void;
};

/** The time limits of uploads and operations in milliseconds, by the names of the settings. */
export type Timeouts = SettingsPart<'timeouts'>;

export type UploadDependencies = {
  pool: ThreadLeases;
  lanes: Lanes;
  pluginLocks: Pick<PluginLocks, 'hold'>;
  clock: Clock;
  timeouts: Timeouts;
  tell: (event: EventBody) => void;
  /** A staged version with these directories is about to be swapped in. The swap waits for the promise, which never rejects. */
  swapping: (plugin: string, stamp: string, directories: readonly string[]) => Promise<void> | undefined;
  /** Receives the failures of installs, for the history. */
  failed: (failed: Failure) => void;
  complain: (fault: Fault, stack: string | undefined) => void;
};

export class Timers<Name extends string> {
  readonly #clock: Clock;
  readonly #running = new Map<Name, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts a timer, or starts it again if it runs. */
  start(name: Name, millis: number, call: () => void): void {
    this.stop(name);
    this.#running.set(name, this.#clock.after(millis, call));
  }

  stop(name: Name): void {
    this.#running.get(name)?.();
    this.#running.delete(name);
  }

  stopAll(): void {
    for (const name of this.#running.keys()) {
      this.stop(name);
    }
  }
}
