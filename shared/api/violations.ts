/** Collects all violations of one archive, so that the refusal names all of them. */
import { Fault, type FaultCode, type Violation } from './fault.ts';

/** The number of violations that are kept; all are counted. */
const REMEMBERED = 1000;

/** Text of unknown origin, made safe to print. */
export const escape = (text: string): string => JSON.stringify(text).slice(1, -1);

export class Violations {
  readonly #violations: Violation[] = [];
  #first: FaultCode | undefined;
  #count = 0;

  get none(): boolean {
    return this.#count === 0;
  }

  /** Adds a violation of a numbered rule. The code of the first one becomes the code of the refusal. */
  note(path: string, rule: number, code: FaultCode, what: string): void {
    this.#first ??= code;
    this.#count += 1;
    if (this.#violations.length < REMEMBERED) {
      this.#violations.push({ path: escape(path.slice(0, 300)), rule, code, what: what.slice(0, 600) });
    }
  }

  /** Adds these violations to a fault of another cause. */
  added(fault: Fault): Fault {
    if (this.none) {
      return fault;
    }
    const { code, message, hint, cause, retry, executed } = fault;
    const violations = [...fault.violations, ...this.#violations];
    const total = fault.violationsTotal + this.#count;
    return new Fault(code, message, { hint, cause, retry, executed, violations, total });
  }

  /** The refusal of the whole archive. */
  fault(): Fault {
    const [first] = this.#violations;
    const many = this.#count === 1 ? 'one violation' : `${this.#count} violations`;
    const where = first === undefined || first.path === '' ? '' : `"${first.path}": `;
    const detail = `The archive is refused for ${many}, first ${where}${first?.what ?? ''}`;
    return new Fault(this.#first ?? 'ARCHIVE_CORRUPT', detail, {
      hint: 'Correct what is listed and pack it again; "airlock validate" says the same before a byte is sent',
      violations: this.#violations,
      total: this.#count,
    });
  }
}
