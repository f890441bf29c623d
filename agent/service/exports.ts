/**
 * Exports: each reads with a thread of its own, which works only when its reader has room for a piece. So a reader that is
 * slow or gone delays no list, and no export is held in memory.
 */
import { Fault } from '../../shared/api/fault.ts';
import type { ExportParams, Result } from '../../shared/api/methods.ts';
import type { Piece } from '../store/export.ts';
import { type Deferred, deferred } from '../worker/deferred.ts';
import type { ThreadHolder, ThreadLeases } from '../worker/fair-pool.ts';
import type { Streamed } from '../worker/handlers.ts';
import type { FromEngine } from '../worker/messages.ts';
import type { Engine } from '../worker/pool.ts';
import type { Source } from '../worker/source.ts';

export type { Piece } from '../store/export.ts';
export type { Source } from '../worker/source.ts';

type Exported = Result<'plugin.export'>;

export type ExportsOptions = {
  pool: ThreadLeases;
  /** Receives failures that are not part of an answer. */
  complain: (fault: Fault, stack: string | undefined) => void;
};

/**
 * Opens an export in a thread. If all threads have a reader, it waits, and a reader that takes too little gives way.
 *
 * @throws Fault as {@link Export.open}; DRAINING.
 */
export async function openExport(
  { pool, complain }: ExportsOptions,
  params: ExportParams,
): Promise<Streamed<Exported>> {
  const running = new RunningExport(complain);
  running.engine = await pool.lease(running, running);
  running.engine.say({ kind: 'export', params });
  return { answer: (await running.answer.promise) as Streamed<Exported>['answer'], lines: running };
}

class RunningExport implements Source, ThreadHolder {
  readonly answer = deferred<unknown>();
  engine: Engine | undefined;
  received = 0;
  readonly #lost = deferred<Fault>();
  readonly #complain: ExportsOptions['complain'];
  #waiting: Deferred<Piece> | undefined;
  #fault: Fault | undefined;
  #isOver = false;

  constructor(complain: ExportsOptions['complain']) {
    this.#complain = complain;
  }

  get lost(): Promise<Fault> {
    return this.#lost.promise;
  }

  /** It waits for its reader, and not for the disk. */
  get awaitsClient(): boolean {
    return this.#waiting === undefined;
  }

  get receiving(): boolean {
    return !this.#isOver;
  }

  pull(): Promise<Piece> {
    if (this.#fault !== undefined) {
      return Promise.reject(this.#fault);
    }
    this.#waiting = deferred<Piece>();
    this.engine?.say({ kind: 'pull' });
    return this.#waiting.promise;
  }

  cancel(): void {
    this.#end(new Fault('CANCELLED', 'The export was cancelled'));
  }

  /** Others wait for a thread. */
  abort(fault: Fault): boolean {
    return this.#end(fault);
  }

  message(message: FromEngine): void {
    if (message.kind === 'answer') {
      this.answer.resolve(message.answer);
    } else if (message.kind === 'piece') {
      const { bytes, isLast } = message;
      this.#isOver ||= isLast;
      this.received += bytes.length;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve({ bytes, isLast });
    } else if (message.kind === 'failed') {
      this.crash(Fault.from(message.fault));
    } else if (message.kind === 'complaint') {
      this.#complain(Fault.from(message.fault), message.stack);
    }
  }

  crash(fault: Fault): void {
    this.#isOver = true;
    this.#fail(fault);
  }

  #end(fault: Fault): boolean {
    if (this.#isOver) {
      return false;
    }
    this.#isOver = true;
    this.engine?.say({ kind: 'abort' });
    this.#fail(fault);
    return true;
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault;
    this.answer.reject(fault);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#lost.resolve(fault);
    else waiting.reject(fault);
  }
}
