/** The runner of the steps of a change. Each step has its undo. */
import type { InstallStep } from '../../shared/api/events.ts';
import { type Fault, type FaultCode, toFault } from '../../shared/api/fault.ts';
import { diskFault } from '../disk/disk-fault.ts';

/** The steps of an install, which are reported, and the note about the runtime before them. */
type StepName = InstallStep | 'foresee';

/** Called for each step that has ended. */
export type StepListener = (step: StepName, millis: number) => void;

/** One step of a change. */
type Step<T> = {
  name: StepName;
  do: () => T;
  /**
   * Undoes the step, also if it was done in part. If it throws, the undoing ends there with that fault, so that an
   * earlier step is not undone under one that still stands.
   *
   * @param because why it is undone.
   */
  undo?: (because: Fault) => void;
};

/** Steps that run one after the other. If one of them throws, those that were begun are undone in reverse. */
export class Steps {
  readonly #doing: string;
  readonly #told: StepListener;
  /** The steps that were begun, which undoing has to undo. */
  readonly #begun: Pick<Step<unknown>, 'undo'>[] = [];

  /** @param doing what is being done, as the beginning of a sentence: `Removing "lint"`. */
  constructor(doing: string, told: StepListener = () => undefined) {
    this.#doing = doing;
    this.#told = told;
  }

  /** The code of a failure that has none of its own. */
  protected get failure(): FaultCode {
    return 'INTERNAL';
  }

  /** Runs a part of the change. If it throws, the whole change is undone, and the fault of {@link fail} is thrown. */
  attempt<T>(part: () => T): T {
    try {
      return part();
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** Undoes the change. @returns the fault to answer with, that of {@link takeBack}. */
  fail(error: unknown): Fault {
    return this.takeBack(diskFault(error, this.#doing, this.failure));
  }

  /**
   * Undoes the steps that were begun, in reverse. It does nothing if it was called before or if the change is done.
   *
   * @returns the fault to answer with: the given one, or, if a step could not be undone, one with both errors. Then the
   *   disk is left as it is.
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

  /** Runs a step, and reports how long it took. */
  step<T>(step: Step<T>): T {
    this.begun(step);
    const start = performance.now();
    const result = step.do();
    this.#told(step.name, performance.now() - start);
    return result;
  }

  /** Remembers the undo of something that was begun. */
  protected begun(step: Pick<Step<unknown>, 'undo'>): void {
    this.#begun.push(step);
  }

  /** Ends the undoing: from here on nothing is undone. */
  protected stand(): void {
    this.#begun.length = 0;
  }
}
