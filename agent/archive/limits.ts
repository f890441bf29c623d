/** What one archive may cost, counted by what really comes: what its headers declare is only the earlier refusal. */
import { Fault, type FaultCode } from '../../shared/api/fault.ts';

/** Headers, padding and what follows the end: so much is granted per entry that may come, and once. */
const PER_ENTRY_BYTES = 4096;
const SLACK_BYTES = 1024 * 1024;

/** How much one archive may hold: bytes once unpacked, and entries. */
export type ArchiveLimits = { maxUnpacked: number; maxEntries: number };

export class Budget {
  readonly #policy: ArchiveLimits;
  #declared = 0;
  #written = 0;
  #plain = 0;
  entries = 0;

  constructor(policy: ArchiveLimits) {
    this.#policy = policy;
  }

  /** One entry more. @throws Fault LIMIT_ENTRIES */
  entry(): void {
    this.entries += 1;
    const { maxEntries } = this.#policy;
    if (this.entries > maxEntries) {
      throw limit(95, 'LIMIT_ENTRIES', `The archive holds more than ${maxEntries} entries`, 'ENTRIES');
    }
  }

  /** A header says that a file has this size. @throws Fault LIMIT_UNPACKED */
  declare(size: number): void {
    this.#declared += size;
    this.#refuseBeyond(this.#declared);
  }

  /** Bytes of a file are to be written. @throws Fault LIMIT_UNPACKED */
  write(bytes: number): void {
    this.#written += bytes;
    this.#refuseBeyond(this.#written);
  }

  /** Bytes of the tar came in, whatever they are. @throws Fault LIMIT_UNPACKED */
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
