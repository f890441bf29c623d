/**
 * One install as the main thread sees it: the bytes that come over some connection, the thread that works on them, the
 * lane, the answer. It outlives its connection: another one may take the stream over where it broke off.
 */
import { Fault, toFault } from '../../shared/fault.ts';
import type { BeginParams, Installed } from '../../shared/methods.ts';
import { WIRE } from '../../shared/rpc.ts';
import { type FromEngine, isAnswer } from '../worker/messages.ts';
import type { Link, Surroundings } from './around.ts';
import { discard } from './ask.ts';
import { deferred } from './deferred.ts';
import { Batch } from './batch.ts';
import { Intake, isHopeless } from './intake.ts';
import type { Engine } from './pool.ts';
import { Timers } from './timers.ts';

type Stage = 'opening' | 'receiving' | 'committed' | 'installing' | 'ended';

export class Upload {
  readonly params: BeginParams;
  readonly #by: string;
  readonly #around: Surroundings;
  readonly #opened = deferred<Installed | undefined>();
  readonly #validated = deferred<void>();
  readonly #answered = deferred<Installed>();
  /** The thread is free again: house-keeping is over, or the task has failed. */
  readonly #done = deferred<void>();
  readonly #timers: Timers<'stall' | 'resume' | 'deadline'>;
  readonly #intake: Intake;
  readonly #batch = new Batch((bytes) => this.#engine?.say({ kind: 'data', bytes }, [bytes.buffer]));
  #engine: Engine | undefined;
  #stage: Stage = 'opening';
  #failed = false;
  /** The thread was told to install: live may be another since. */
  #touching = false;
  #stamp: string | undefined;
  #link: Link | undefined;
  /** Gives the plugin's lock back. */
  #release: (() => void) | undefined;

  constructor(params: BeginParams, by: string, around: Surroundings) {
    this.params = params;
    this.#by = by;
    this.#around = around;
    this.#timers = new Timers(around.clock);
    this.#intake = new Intake(params.bundle.size, WIRE.windowBytes);
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** Bytes still come in, or may: a new connection can take over. */
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

  /** Gets the plugin's lock and a thread, and asks it; {@link opened} tells what came of it. */
  async start(): Promise<void> {
    const { pool, patience, holds } = this.#around;
    if (this.#stage !== 'opening') return this.#over();
    this.#arm('deadline', patience.deadline, 'The install took too long');
    try {
      this.#release = await holds.hold(this.params.plugin);
      const engine = await pool.lease(
        { message: (message) => this.#hear(message), crash: (fault) => this.#crashed(fault) },
        this,
      );
      if (this.#stage === 'opening') {
        this.#engine = engine;
        engine.say({ kind: 'begin', params: this.params, by: this.#by });
      } else {
        engine.release();
        this.#over();
      }
    } catch (error) {
      this.#finish(toFault(error, 'Getting an engine thread'));
      this.#over();
    }
  }

  /** Nothing of it is left in the thread, and nothing of it holds the plugin any more. */
  #over(): void {
    this.#release?.();
    this.#release = undefined;
    this.#done.resolve();
  }

  /** Takes the bytes from this link from now on. @returns where the sender goes on and how far it may. */
  attach(link: Link): { offset: number; limit: number } {
    this.#link?.drop();
    this.#link = link;
    this.#timers.stop('resume');
    this.#expectBytes();
    return { offset: this.#intake.received, limit: this.#intake.limit };
  }

  /** The link is gone; the upload waits for another for a while. */
  detach(link: Link): void {
    if (this.#link === link) {
      this.#link = undefined;
      this.#timers.stop('stall');
      if (this.receiving) {
        this.#arm('resume', this.#around.patience.resume, 'The connection was gone for too long');
      }
    }
  }

  /** Takes bytes in. A sender that breaks the rules of the stream fails its upload. */
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

  /** Installs what was received, once; asked again it waits for the same answer. */
  async commit(): Promise<Installed> {
    if (!this.receiving) {
      return this.#answered.promise;
    }
    if (!this.#intake.fin) {
      const detail = `Only ${this.#intake.received} of ${this.params.bundle.size} bytes came in before the commit`;
      throw new Fault('CONFLICT', detail, {
        hint: 'Send the rest and the FIN, then commit again',
        retry: 'same',
      });
    }
    this.#install().catch(() => undefined);
    return this.#answered.promise;
  }

  /** Gives up, unless the swap has begun. @returns whether it is given up. */
  abort(fault: Fault): boolean {
    if (this.#stage === 'installing' || this.#stage === 'ended') {
      return false;
    }
    this.#end(fault);
    return true;
  }

  /** Waits until the thread is free of this upload. */
  async settled(): Promise<void> {
    await this.#answered.promise.catch(() => undefined);
    await this.#done.promise;
  }

  /** Takes its place in the lane at once, for the order is that of the commits and not of who validates faster. */
  async #install(): Promise<void> {
    this.#stage = 'committed';
    this.#timers.stop('resume');
    this.#batch.flush();
    this.#engine?.say({ kind: 'commit' });
    await this.#around.lanes.run(this.params.plugin, async () => {
      await this.#validated.promise;
      if (this.#stage !== 'committed') {
        return;
      }
      this.#stage = 'installing';
      this.#touching = true;
      this.#timers.stop('deadline');
      this.#engine?.say({ kind: 'install' });
      await this.#done.promise;
    });
  }

  #hear(message: FromEngine): void {
    if (isAnswer(message)) {
      return;
    }
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
        this.#validated.resolve();
        break;
      case 'installed':
        this.#answer(message.answer);
        break;
      case 'failed': {
        const fault = Fault.from(message.fault);
        this.#around.complain(fault, message.stack);
        this.#finish(fault);
        break;
      }
      case 'event':
        this.#around.tell(message.event);
        break;
      case 'complaint':
        this.#around.complain(Fault.from(message.fault), message.stack);
        break;
      case 'done':
        this.#over();
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
    // Before the install was begun nothing can have reached live; afterwards slot and receipt may be live's own.
    const harmless = !this.#touching;
    const { code, message, hint, cause } = fault;
    this.#finish(new Fault(code, message, { hint, cause, executed: harmless ? 'no' : 'maybe' }));
    const stamp = harmless ? this.#stamp : undefined;
    const left = stamp === undefined ? undefined : discard(this.#around, this.params.plugin, stamp);
    void Promise.resolve(left).then(() => this.#over());
  }

  /** Silence counts as a stall only while it is the sender's turn. */
  #expectBytes(): void {
    if (this.#link !== undefined && this.#stage === 'receiving' && this.#intake.mayCome) {
      this.#arm('stall', this.#around.patience.stall, 'No byte came in for too long');
    } else {
      this.#timers.stop('stall');
    }
  }

  #arm(timer: 'stall' | 'resume' | 'deadline', millis: number, why: string): void {
    const detail = `${why} (${Math.round(millis / 1000)} s): the upload of "${this.params.plugin}" is given up`;
    const hint = 'Begin again with the same operation id';
    this.#timers.start(timer, millis, () => this.abort(new Fault('DEADLINE', detail, { hint })));
  }

  #answer(answer: Installed): void {
    this.#answered.resolve(answer);
    this.#leave();
  }

  /** Fails from this side: the thread is told to remove what there is. */
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
    this.#around.tell({ type: 'install.failed', data: { operationId, plugin, error: fault.toData() } });
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
