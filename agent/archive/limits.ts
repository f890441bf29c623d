/** The cost that one archive may have. It counts what really arrives; the sizes in headers only allow an earlier refusal. */
import { Fault, type FaultCode } from '../../shared/api/fault.ts';

/** An allowance for headers, padding and what follows the end: once, and for each possible entry. */
const PER_ENTRY_BYTES = 4096;
const SLACK_BYTES = 1024 * 1024;
/** An allowance for the names in the targets of links, for each possible entry. Each name costs a search. */
const STEPS_PER_ENTRY = 50;

/** The limits of one archive: bytes when unpacked, and entries. */
export type ArchiveLimits = { maxUnpacked: number; maxEntries: number };

export class Budget {
  readonly #policy: ArchiveLimits;
  #declared = 0;
  #written = 0;
  #plain = 0;
  #steps = 0;
  entries = 0;

  constructor(policy: ArchiveLimits) {
    this.#policy = policy;
  }

  /** Counts an entry. @throws Fault LIMIT_ENTRIES */
  entry(): void {
    this.entries += 1;
    const { maxEntries } = this.#policy;
    if (this.entries > maxEntries) {
      throw limit(95, 'LIMIT_ENTRIES', `The archive holds more than ${maxEntries} entries`, 'ENTRIES');
    }
  }

  /** Counts names on the ways of links. @throws Fault LIMIT_ENTRIES */
  steps(count: number): void {
    this.#steps += count;
    const most = this.#policy.maxEntries * STEPS_PER_ENTRY;
    if (this.#steps > most) {
      const what = `The links of the archive lead through more than ${most} names`;
      throw limit(95, 'LIMIT_ENTRIES', what, 'ENTRIES');
    }
  }

  /** Checks the size of a file in its header. @throws Fault LIMIT_UNPACKED */
  declare(size: number): void {
    this.#declared += size;
    this.#refuseBeyond(this.#declared);
  }

  /** Counts bytes of a file before they are written. @throws Fault LIMIT_UNPACKED */
  write(bytes: number): void {
    this.#written += bytes;
    this.#refuseBeyond(this.#written);
  }

  /** Counts bytes of the tar of any kind. @throws Fault LIMIT_UNPACKED */
  plain(bytes: number): void {
    this.#plain += bytes;
    this.#refuseBeyond(this.#plain - SLACK_BYTES - this.#policy.maxEntries * PER_ENTRY_BYTES);
  }

  #refuseBeyond(bytes: number): void {
    const { maxUnpacked } = this.#policy;
    if (bytes > maxUnpacked) {
      throw limit(94, 'LIMIT_UNPACKED', `The archive unpacks to more than ${maxUnpacked} bytes`, 'UNPACKED');
    }
  }
}

function limit(rule: number, code: FaultCode, what: string, setting: string): Fault {
  return new Fault(code, what, {
    hint: `Leave out what the plugin does not need; the owner can raise AIRLOCK_MAX_${setting}`,
    violations: [{ path: '', rule, code, what }],
  });
}
