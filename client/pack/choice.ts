/** Decides by the path what goes into a bundle. Pure. */
import ignore from 'ignore';

import { MARKER } from '../../shared/format/layout.ts';
import { createIgnore } from '../../shared/format/tree.ts';

/** Names further paths to leave out, in the syntax of gitignore; at the root of the plugin. */
export const IGNORE_FILE = '.airlockignore';

/** A larger one is refused. */
export const IGNORE_MAX_BYTES = 1024 * 1024;

/** With more of them in one pattern, a deep path takes a time that grows with the same power of its depth. */
export const ANY_DEPTH_MAX = 2;

/** The first pattern that would take too long, cut for a message; undefined if there is none. */
export const tooCostly = (patterns: string): string | undefined =>
  patterns
    .split(/\r?\n/)
    .find((line) => line.split('**/').length - 1 > ANY_DEPTH_MAX)
    ?.slice(0, 200);

/** Whether a path is left out of the bundle. */
export type LeftOut = (path: string, kind: 'file' | 'directory') => boolean;

/**
 * Leaves out `.git` at any depth, the marker, caches, files of editors, the owner's names, and what the plugin's
 * `.airlockignore` names. It decides for the path and for the directories above it.
 *
 * @param patterns the text of `.airlockignore`; empty if there is none.
 */
export function createLeftOut(extra: readonly string[], patterns: string): LeftOut {
  const isIgnored = createIgnore(extra);
  const matcher = ignore().add(patterns);
  return (path, kind) => {
    // The slash marks a directory: patterns for files do not apply to it.
    const marked = kind === 'directory' ? `${path}/` : path;
    return (
      path === MARKER || path.split('/').includes('.git') || isIgnored(marked) || matcher.ignores(marked)
    );
  };
}
