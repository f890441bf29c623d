/** What an install means for a runtime that has the version before it loaded. Pure. */
import type { Reload } from './methods.ts';
import { cut } from './cut.ts';
import { type FileEntry, compareTrees } from './tree.ts';

/**
 * Compares the list of the version before (undefined: nothing was live, or nobody can say what) with the new one. Of
 * two different trees nothing is claimed but that a restart brings the new one in: in doubt a change is cold.
 *
 * @param restart false if the caller wants none: echoed as `restarting: false`.
 */
export function reloadFor(
  before: readonly FileEntry[] | undefined,
  after: readonly FileEntry[],
  restart: boolean,
): Reload {
  if (before === undefined) {
    const reasons = cut([
      { path: '', change: 'added' as const, why: 'no version is known to have been live' },
    ]);
    return { kind: 'cold', action: 'restart', restarting: restart, reasons };
  }
  const { modified, missing, unlisted } = compareTrees(before, after);
  const reasons = [
    ...modified.map((path) => ({ path, change: 'modified' as const, why: 'its content or mode changed' })),
    ...missing.map((path) => ({ path, change: 'removed' as const, why: 'the new version does not have it' })),
    ...unlisted.map((path) => ({
      path,
      change: 'added' as const,
      why: 'the version before did not have it',
    })),
  ];
  return reasons.length === 0
    ? { kind: 'identical', action: 'none', restarting: false, reasons: cut([]) }
    : { kind: 'cold', action: 'restart', restarting: restart, reasons: cut(reasons) };
}
