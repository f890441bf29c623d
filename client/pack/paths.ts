/** The paths of a plugin, by the rules for archives: what an agent would refuse is refused before a byte is packed. */
import { Fault } from '../../shared/api/fault.ts';
import { checkPaths, codeOfRule } from '../../shared/rule/path-rules.ts';
import type { Walked } from './walk.ts';

/** How deep a path may be is the owner's decision, which the packer does not know. */
const ANY_DEPTH = Number.POSITIVE_INFINITY;

/** Every rule that a path breaks. */
export const brokenPaths = (entries: readonly Walked[], maxDepth: number): ReturnType<typeof checkPaths> =>
  checkPaths(
    entries.map(({ kind, path }) => ({ kind: kind === 'text' ? 'file' : kind, path })),
    maxDepth,
  );

/** @throws Fault ARCHIVE_PATH or ARCHIVE_COLLISION that names every path. */
export function refusePaths(entries: readonly Walked[]): void {
  const broken = brokenPaths(entries, ANY_DEPTH);
  const [first] = broken;
  if (first === undefined) return;
  const shown = JSON.stringify(first.path.slice(0, 300));
  const more = broken.length > 1 ? ` (and ${broken.length - 1} more)` : '';
  throw new Fault(codeOfRule(first.rule), `${shown} cannot be installed: ${first.what}${more}`, {
    hint: 'Rename what is listed, or leave it out with an .airlockignore',
    violations: broken.map(({ path, rule, what }) => ({
      path: JSON.stringify(path.slice(0, 300)).slice(1, -1),
      rule,
      code: codeOfRule(rule),
      what,
    })),
  });
}
