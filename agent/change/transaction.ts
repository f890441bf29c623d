/**
 * Every change that moves a plugin in or out of its live place: install, rollback, removal. A change asks the operation
 * log, makes a slot, writes its intent, and runs its steps. Each step has its undo. If a step fails, the steps that were
 * begun are undone in reverse, so that live is what it was.
 */
import type { EventBody } from '../../shared/api/events.ts';
import type { FaultCode } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import {
  amend,
  amendAround,
  discardSlot,
  dropIntent,
  type Journal,
  newIntent,
  readyChanges,
  takeSlot,
  writeIntent,
} from '../store/journal.ts';
import {
  type OperationRequest,
  answerBefore,
  noteAnswer,
  rememberAnswer,
  settleAnswer,
} from '../store/operation-log.ts';
import { collect, tidy } from '../store/snapshots.ts';
import { clearTrouble } from '../store/state.ts';
import type { Barrier, TreeToSeal } from './barrier.ts';
import { noteChange } from './note-history.ts';
import { refuseUnwanted, type ChangeParams } from './preflight.ts';
import { foresee, type PlannedReload, type PlannedChange } from './reload.ts';
import { seal } from './seal.ts';
import { Steps, type StepListener } from './steps.ts';
import { swap, takeBackSwap } from './swap.ts';
import { verifyLive } from './verify.ts';

/** The request for a change. */
export type Asked<A extends object> = OperationRequest<A> & {
  /** What is being done, as the beginning of a sentence: `Removing "lint"`. */
  doing: string;
  params: ChangeParams;
};

/** A change that was made: its answer, and the house-keeping after the answer. */
export type Change<A> = { answer: A; collect: () => void };

/** A tree that takes the live place, and the last check of it. */
type Replacement<A> = {
  marker: Marker;
  tree: TreeToSeal;
  barrier: Barrier;
  /** What is live now. */
  from: Intent['from'];
  /** The answer to remember in the intent, for a repeated request after a crash. */
  answer: A;
  /** Further changes of the intent. */
  changes?: Partial<Intent>;
  /** Called after the verification: throws if the change must not stay. */
  check?: () => void;
};

/**
 * The answer of this operation, if it has ended before.
 *
 * @throws Fault CONFLICT, HELD if it must not be done.
 */
export function askFirst<A extends object>(context: StoreContext, asked: Asked<A>): A | undefined {
  const before = answerBefore(context, asked);
  if (before === undefined) {
    refuseUnwanted(context, asked.params);
  }
  return before;
}

/**
 * Makes a change, unless it was made before.
 *
 * @param make makes it, from the first look at the plugin to the answer.
 * @throws Fault of whatever prevents it.
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

/** A change in progress, from its slot to its end. */
export class Transaction<A extends object> extends Steps {
  /** Its intent as it is on the disk, and the moves that were made. */
  readonly journal: Journal;
  readonly #context: StoreContext;
  readonly #asked: Asked<A>;
  #planned: PlannedReload | undefined;

  private constructor(
    context: StoreContext,
    asked: Asked<A>,
    intent: Intent,
    told: StepListener | undefined,
  ) {
    super(asked.doing, told);
    this.#context = context;
    this.#asked = asked;
    this.journal = { intent, moves: [] };
  }

  /**
   * Makes a slot and a durable intent, before anything is moved.
   *
   * @param about the fields of the intent that depend on the change.
   * @param told called for each step that has ended.
   * @throws Fault NO_SPACE, READ_ONLY, INTERNAL
   */
  static begin<A extends object>(
    context: StoreContext,
    asked: Asked<A>,
    about: Pick<Intent, 'op' | 'from' | 'by'> & Partial<Intent>,
    told?: StepListener,
  ): Transaction<A> {
    const { plugin, operationId } = asked.params;
    const stamp = takeSlot(context, plugin, about.bundle ?? null, about.from);
    const intent = { ...newIntent(context, { plugin, operationId, stamp, from: about.from }), ...about };
    const change = new Transaction(context, asked, intent, told);
    change.begun({ undo: () => change.#discardSlot() });
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

  /** Live is as it was. Recovery removes what is left in staging. */
  #discardSlot(): void {
    const { intent } = this.journal;
    attempt(this.#context, 'Removing the staging directory', () =>
      discardSlot(this.#context, intent.plugin, intent.stamp, intent),
    );
  }

  protected override get failure(): FaultCode {
    return this.journal.moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
  }

  /** Decides what the change means for the runtime, and notes a change that has to wait for a restart. */
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

  /** The part of the intent that lets recovery give the answer instead of the agent. */
  memoryOf(answer: A): Pick<Intent, 'memory'> {
    return { memory: { question: this.#asked.question, answer } };
  }

  /** Seals the tree in the slot, puts it in the live place, and verifies it. */
  replace({ marker, tree, barrier, from, answer, changes, check }: Replacement<A>): void {
    const context = this.#context;
    this.step({
      name: 'seal',
      // It is undone with the slot: until the swap, everything that a seal makes is in the slot or has its name.
      do: () => {
        const ready = { ...readyChanges(context, from, marker), ...changes, ...this.memoryOf(answer) };
        if (barrier.coversAll) {
          amendAround(context, this.journal, ready, () => seal(context, marker, tree, barrier));
        } else {
          amend(context, this.journal, ready);
          seal(context, marker, tree, barrier);
        }
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

  /** The step in which live changes. @param make records each move in the journal when it is made. */
  moveLive(make: (context: StoreContext, journal: Journal) => void): void {
    this.step({
      name: 'swap',
      do: () => make(this.#context, this.journal),
      undo: (because) => takeBackSwap(this.#context, this.journal, because),
    });
  }

  /**
   * Ends the change: reports it and remembers the answer. From here on nothing is undone.
   *
   * @param note further events or notes before the answer. Must not throw.
   */
  commit(answer: A, event: EventBody, note: () => void = () => undefined): Change<A> {
    this.stand();
    this.#context.tell(event);
    this.#planned?.settle();
    note();
    // Recovery knows the answer if the intent has it: then nobody waits until it is durable in the log.
    const remember = this.journal.intent.memory === undefined ? rememberAnswer : noteAnswer;
    remember(this.#context, this.#asked, answer);
    return { answer, collect: () => this.collect() };
  }

  /** House-keeping after the answer. Never throws: a failure is reported, and the change stays. */
  collect(): void {
    this.step({ name: 'collect', do: () => finish(this.#context, this.journal) });
  }
}

function finish(context: StoreContext, journal: Journal): void {
  const { memory, op, operationId, plugin, stamp } = journal.intent;
  if (memory !== undefined) {
    settleAnswer(context, operationId);
  }
  clearTrouble(context, plugin);
  noteChange(context, journal.intent, 'done');
  attempt(context, `Maintenance after a change of "${plugin}"`, () => {
    // Everything that the intent tells recovery to do must be done before the intent is removed.
    if (op === 'remove') {
      // The slot only reserved the stamp.
      discardSlot(context, plugin, stamp, journal.intent);
    } else {
      tidy(context, journal);
    }
    dropIntent(context, plugin, stamp);
  });
  // Only after the intent is gone: this takes long, and recovery would undo edits that were made in place meanwhile.
  attempt(context, `Collecting old versions of "${plugin}"`, () => collect(context, plugin));
}
