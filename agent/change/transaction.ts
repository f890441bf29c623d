/**
 * The one runner of every change that moves a plugin in or out of its live place: install, rollback, removal. A change asks
 * the operation log, takes a slot, writes its intent, and makes its steps, each beside what takes it back. Where a step
 * throws, those that were begun are taken back in reverse, so that live is what it was.
 */
import type * as z from 'zod';

import type { EventBody, InstallStep } from '../../shared/api/events.ts';
import { type Fault, toFault } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import {
  amend,
  discardSlot,
  dropIntent,
  type Journal,
  newIntent,
  readyChanges,
  takeSlot,
  writeIntent,
} from '../store/journal.ts';
import { recall, remember } from '../store/operation-log.ts';
import { collect, tidy } from '../store/snapshots.ts';
import { clearTrouble } from '../store/state.ts';
import type { Barrier, TreeToSeal } from './barrier.ts';
import { refuseUnwanted, type ChangeParams } from './preflight.ts';
import { foresee, type PlannedReload, type PlannedChange } from './reload.ts';
import { seal } from './seal.ts';
import { swap, takeBackSwap } from './swap.ts';
import { verifyLive } from './verify.ts';

/** What is asked for. */
export type Asked<A extends object> = {
  /** What is being done, as it begins a sentence: `Removing "lint"`. */
  doing: string;
  params: ChangeParams & { operationId: string };
  /** The digest of what was asked, for the operation log. */
  question: string;
  /** What an answer looks like. */
  answer: z.ZodType<A>;
};

/** A change that has been made: what is answered, and the house-keeping after the answer. */
export type Change<A> = { answer: A; collect: () => void };

/** The steps of an install, which are told; besides, what is written down of the runtime before them. */
type StepName = InstallStep | 'foresee';

/** One step of a change. */
export type Step<T> = {
  name: StepName;
  do: () => T;
  /**
   * Takes back what was done, also where it was done in part. What it throws ends the taking back and is answered, so that an
   * earlier step is not taken back over one that still stands.
   *
   * @param because why it is taken back.
   */
  undo?: (because: Fault) => void;
};

/** A tree that takes the live place, and the change's last word on it. */
type Replacement<A> = {
  marker: Marker;
  tree: TreeToSeal;
  barrier: Barrier;
  /** What is live just now. */
  from: Intent['from'];
  /** What is remembered in the intent, for who asks again after a crash. */
  answer: A;
  /** What else the intent is to say. */
  changes?: Partial<Intent>;
  /** Asked after the reading back: throws if it must not stand. */
  check?: () => void;
};

/**
 * The answer that was given already, if this operation has ended before.
 *
 * @throws Fault CONFLICT, HELD if it is not to be done.
 */
export function askFirst<A extends object>(context: StoreContext, asked: Asked<A>): A | undefined {
  const { params, question, answer } = asked;
  const before = recall(context, params.operationId, question, answer);
  if (before === undefined) {
    refuseUnwanted(context, params);
  }
  return before;
}

/** Remembers an answer. Never throws: a change stands whether its answer can be remembered or not. */
export function rememberAnswer<A extends object>(
  context: StoreContext,
  { params, question }: Asked<A>,
  answer: A,
): void {
  attempt(context, 'Remembering the answer', () =>
    remember(context, params.operationId, question, answer, params.plugin),
  );
}

/**
 * Makes a change, unless it has been made before.
 *
 * @param make makes it, from the first look at the plugin to the answer.
 * @throws Fault whatever keeps it from being made.
 */
export function transact<A extends object>(
  context: StoreContext,
  asked: Asked<A>,
  make: () => Change<A>,
): Change<A> {
  try {
    const before = askFirst(context, asked);
    return before === undefined ? make() : { answer: before, collect: () => undefined };
  } catch (error) {
    throw diskFault(error, asked.doing);
  }
}

/** A change under way, from its slot to its end. */
export class Transaction<A extends object> {
  /** Its intent as it is on the disk, and the moves that it has made. */
  readonly journal: Journal;
  readonly #context: StoreContext;
  readonly #asked: Asked<A>;
  readonly #told: (step: StepName, millis: number) => void;
  /** The steps that were begun, and so are to be taken back. */
  readonly #begun: Pick<Step<unknown>, 'undo'>[] = [];
  #planned: PlannedReload | undefined;

  private constructor(
    context: StoreContext,
    asked: Asked<A>,
    intent: Intent,
    told: (step: StepName, millis: number) => void,
  ) {
    this.#context = context;
    this.#asked = asked;
    this.#told = told;
    this.journal = { intent, moves: [] };
  }

  /**
   * Takes a slot and makes the intent durable, before anything is moved.
   *
   * @param about what the intent says beyond what each one says.
   * @param told hears of each step when it has ended.
   * @throws Fault NO_SPACE, READ_ONLY, INTERNAL
   */
  static begin<A extends object>(
    context: StoreContext,
    asked: Asked<A>,
    about: Pick<Intent, 'op' | 'from'> & Partial<Intent>,
    told: (step: StepName, millis: number) => void = () => undefined,
  ): Transaction<A> {
    const { plugin, operationId } = asked.params;
    const stamp = takeSlot(context, plugin, about.bundle ?? null, about.from);
    const intent = { ...newIntent(context, { plugin, operationId, stamp, from: about.from }), ...about };
    const change = new Transaction(context, asked, intent, told);
    change.#begun.push({ undo: () => change.#discardSlot() });
    return change.attempt(() => {
      writeIntent(context, intent);
      return change;
    });
  }

  /** The slot of this change. */
  get slot(): string {
    const { plugin, stamp } = this.journal.intent;
    return this.#context.layout.slot(plugin, stamp);
  }

  /** Live is as it was, which is what counts; recovery removes what is left in staging. */
  #discardSlot(): void {
    const { intent } = this.journal;
    attempt(this.#context, 'Removing the staging directory', () =>
      discardSlot(this.#context, intent.plugin, intent.stamp, intent),
    );
  }

  /** Does a part of the change. If it throws, the whole change is taken back, and what {@link fail} says is thrown. */
  attempt<T>(part: () => T): T {
    try {
      return part();
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** Takes the change back. @returns the fault to answer with, as of {@link takeBack}. */
  fail(error: unknown): Fault {
    const code = this.journal.moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
    return this.takeBack(diskFault(error, this.#asked.doing, code));
  }

  /**
   * Takes back the steps that were begun, in reverse. Asked again, or of a change that stands, it does nothing.
   *
   * @returns the fault to answer with: the given one; or, where a step could not be taken back, one that carries both, and
   *   the disk is left as it is.
   */
  takeBack(because: Fault): Fault {
    for (const { undo } of this.#begun.splice(0).toReversed()) {
      try {
        undo?.(because);
      } catch (error) {
        return toFault(error, 'Undoing the change');
      }
    }
    return because;
  }

  /** Makes a step, and tells how long it took. */
  step<T>(step: Step<T>): T {
    this.#begun.push(step);
    const start = performance.now();
    const result = step.do();
    this.#told(step.name, performance.now() - start);
    return result;
  }

  /** Judges what the change means for the runtime; what that has to wait for is written down. */
  foresee(restart: boolean | undefined, from: Intent['from'], next: PlannedChange['next']): PlannedReload {
    const { plugin, operationId } = this.#asked.params;
    const subject = { plugin, operationId, restart: restart !== false, from, next };
    return this.step({
      name: 'foresee',
      do: () => {
        this.#planned = foresee(this.#context, subject);
        return this.#planned;
      },
      undo: () => this.#planned?.takeBack(),
    });
  }

  /** What the intent is to say, so that recovery can give the answer in the agent's stead. */
  memoryOf(answer: A): Pick<Intent, 'memory'> {
    return { memory: { question: this.#asked.question, answer } };
  }

  /** Seals the tree in the slot, puts it in the live place, and reads it back. */
  replace({ marker, tree, barrier, from, answer, changes, check }: Replacement<A>): void {
    const context = this.#context;
    this.step({
      name: 'seal',
      // Its undo is that of the slot: until the swap, all that a seal makes lies there or is named after it.
      do: () => {
        const ready = { ...readyChanges(context, from, marker), ...changes, ...this.memoryOf(answer) };
        amend(context, this.journal, ready);
        seal(context, marker, tree, barrier);
      },
    });
    this.moveLive(swap);
    this.step({
      name: 'verify',
      do: () => {
        verifyLive(context, marker, tree.files);
        check?.();
      },
    });
  }

  /** The step in which live changes. @param make records each move in the journal as it is made. */
  moveLive(make: (context: StoreContext, journal: Journal) => void): void {
    this.step({
      name: 'swap',
      do: () => make(this.#context, this.journal),
      undo: (because) => takeBackSwap(this.#context, this.journal, because),
    });
  }

  /**
   * Ends the change that stands: tells of it and remembers the answer. Nothing is taken back any more.
   *
   * @param note what else is to be told or written down before the answer. Must not throw.
   */
  commit(answer: A, event: EventBody, note: () => void = () => undefined): Change<A> {
    this.#begun.length = 0;
    this.#context.tell(event);
    this.#planned?.settle();
    note();
    rememberAnswer(this.#context, this.#asked, answer);
    return { answer, collect: () => this.collect() };
  }

  /** House-keeping after the answer. Never throws: what fails is complained of, and the change stands. */
  collect(): void {
    this.step({ name: 'collect', do: () => finish(this.#context, this.journal) });
  }
}

function finish(context: StoreContext, journal: Journal): void {
  const { op, plugin, stamp } = journal.intent;
  clearTrouble(context, plugin);
  attempt(context, `Maintenance after a change of "${plugin}"`, () => {
    // What the intent tells recovery of must be in its place before the intent goes.
    if (op === 'remove') {
      // The slot only reserved the stamp.
      discardSlot(context, plugin, stamp, journal.intent);
    } else {
      tidy(context, journal);
    }
    dropIntent(context, plugin, stamp);
  });
  // After the intent is gone: this takes long, and meanwhile recovery would undo what was edited in place since.
  attempt(context, `Collecting old versions of "${plugin}"`, () => collect(context, plugin));
}
