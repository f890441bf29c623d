/** Decides whether a running runtime can take up a change (hot) or needs a restart (cold). Pure and total. */
import * as z from 'zod';

import { truncate, truncatedSchema } from '../truncate.ts';
import {
  type FileEntry,
  type Ignore,
  counts,
  createIgnore,
  type Reason,
  reasonSchema,
} from '../format/tree.ts';

/** What a change means for the runtime, and whether somebody restarts it. */
export const reloadSchema = z.object({
  kind: z.enum(['identical', 'skill-content-only', 'cold']),
  action: z.enum(['none', 'hot', 'restart']),
  /** Somebody restarts the runtime: the agent's restart command, or else the caller who requested the change. */
  restarting: z.boolean(),
  reasons: truncatedSchema(reasonSchema),
});
export type Reload = z.infer<typeof reloadSchema>;

/** Reasons that need a restart come first, because a list may be cut; then by path. */
export type Verdict = { kind: Reload['kind']; reasons: Reason[] };

export type ClassifyOptions = {
  /** The `hot_reload` of the new version's manifest; `false`: no change of it is ever hot. */
  hotReload?: boolean | undefined;
  /** What is left out of both trees besides the marker. */
  ignore?: Ignore | undefined;
};

const SKILL = 'SKILL.md';
/** Whether a file of that path can be read again without a restart. */
export const isSkill = (path: string): boolean => path.slice(path.lastIndexOf('/') + 1) === SKILL;

/**
 * Compares two trees; undefined means that there is none or that it cannot be read. The verdict is `skill-content-only`
 * if and only if both have the same paths with the same modes, and every file whose sha256 differs is called `SKILL.md`.
 * Any other difference is cold.
 */
export function classify(
  before: readonly FileEntry[] | undefined,
  after: readonly FileEntry[] | undefined,
  { hotReload, ignore }: ClassifyOptions = {},
): Verdict {
  if (after === undefined) {
    return cold('removed', 'the plugin is removed');
  }
  if (before === undefined) {
    return cold('added', 'no earlier version is known');
  }
  return verdictOf(differences(before, after, ignore), hotReload);
}

/** The version that counts as loaded, as far as it is known. */
export type Basis =
  | {
      kind: 'tree';
      list: readonly FileEntry[];
      /**
       * Paths that were edited in place since, or that a version in between changed. The runtime may have loaded that or
       * what was there before. An empty path means the whole plugin.
       */
      edited: readonly string[];
    }
  | { kind: 'unknown'; why: string };

/** Compares the version that counts as loaded with a tree; undefined: the plugin is removed. */
export function classifyLoaded(
  basis: Basis,
  after: readonly FileEntry[] | undefined,
  options: ClassifyOptions = {},
): Verdict {
  if (after === undefined) {
    return classify([], undefined);
  }
  if (basis.kind === 'unknown') {
    return cold('added', basis.why);
  }
  const found = differences(basis.list, after, options.ignore);
  const named = new Set(found.map(({ path }) => path));
  const edits = basis.edited
    .filter((path) => !named.has(path))
    .map((path): Difference => ({
      path,
      change: 'modified',
      why: 'it was edited in place or came with a version in between, and the runtime may have loaded that',
      hot: isSkill(path),
    }));
  return verdictOf([...found, ...edits], options.hotReload);
}

const ACTIONS = { identical: 'none', 'skill-content-only': 'hot', cold: 'restart' } as const;

/** A verdict as it is sent. @param restart whether somebody restarts the runtime if it is needed. */
export function reloadOf({ kind, reasons }: Verdict, restart: boolean): Reload {
  const action = ACTIONS[kind];
  return { kind, action, restarting: restart && action === 'restart', reasons: truncate(reasons) };
}

const cold = (change: Reason['change'], why: string): Verdict => ({
  kind: 'cold',
  reasons: [{ path: '', change, why }],
});

const byPath = (list: readonly FileEntry[], ignore: Ignore): Map<string, FileEntry> =>
  new Map(list.filter(({ path }) => counts(path, ignore)).map((file) => [file.path, file]));

type Difference = Reason & { hot: boolean };

function differences(
  before: readonly FileEntry[],
  after: readonly FileEntry[],
  ignore: Ignore = createIgnore(),
): Difference[] {
  const old = byPath(before, ignore);
  const now = byPath(after, ignore);
  const paths = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  return paths.flatMap((path) => difference(path, old.get(path), now.get(path)) ?? []);
}

function difference(
  path: string,
  old: FileEntry | undefined,
  now: FileEntry | undefined,
): Difference | undefined {
  if (old === undefined) {
    return { path, change: 'added', why: 'the version before does not have it', hot: false };
  }
  if (now === undefined) {
    return { path, change: 'removed', why: 'the new version does not have it', hot: false };
  }
  if (old.mode !== now.mode) {
    return { path, change: 'modified', why: `its mode changed from ${old.mode} to ${now.mode}`, hot: false };
  }
  if (old.sha256 === now.sha256) {
    return undefined;
  }
  return isSkill(path)
    ? { path, change: 'modified', why: 'a skill, which can be read again', hot: true }
    : { path, change: 'modified', why: 'its content changed, and it is not a SKILL.md', hot: false };
}

function verdictOf(found: readonly Difference[], hotReload: boolean | undefined): Verdict {
  const coldFirst = [...found.filter(({ hot }) => !hot), ...found.filter(({ hot }) => hot)];
  const reasons = coldFirst.map(({ path, change, why }) => ({ path, change, why }));
  if (found.length === 0) {
    return { kind: 'identical', reasons };
  }
  if (found.some(({ hot }) => !hot)) {
    return { kind: 'cold', reasons };
  }
  if (hotReload === false) {
    const why = 'its manifest says hot_reload: false';
    return { kind: 'cold', reasons: [{ path: '', change: 'modified', why }, ...reasons] };
  }
  return { kind: 'skill-content-only', reasons };
}
