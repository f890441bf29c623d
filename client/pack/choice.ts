/** Decides by the path what goes into a bundle. Pure. */
import ignore from 'ignore';

import { MARKER } from '../../shared/format/layout.ts';
import { createIgnore } from '../../shared/format/tree.ts';

/** Names further paths to leave out, in the syntax of gitignore; at the root of the plugin. */
export const IGNORE_FILE = '.airlockignore';

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
