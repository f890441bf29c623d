/** Whether what is said about an operation is true: its answer or its fault, held against the disk. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Fault } from '../../shared/api/fault.ts';
import { MARKER, layoutOf } from '../../shared/format/layout.ts';
import { type Marker, readMarker } from '../../shared/format/marker.ts';
import { parseSlotName } from '../../shared/format/name.ts';
import { snapshotTree } from './tree-snapshot.ts';

/** What a plugin is on the disk: its live files with the marker, and what is noted about it. */
export type Look = {
  installId: string | undefined;
  /** What the live version has replaced. */
  replaced: string | null | undefined;
  tree: string | undefined;
  bundle: string | undefined;
  held: string | undefined;
  /** All of live, and what is noted; equal only if nothing has changed. */
  print: string;
};

/** The full marker of a tree; undefined if there is none. */
function markerIn(directory: string): Marker | undefined {
  const path = join(directory, MARKER);
  const reading = existsSync(path) ? readMarker(readFileSync(path, 'utf8')) : undefined;
  return reading?.kind === 'full' ? reading.marker : undefined;
}

/** What of a folder belongs to a plugin, by the name of a slot. */
const ofPlugin = (folder: string, plugin: string): string[] =>
  readdirSync(folder).filter((name) => parseSlotName(name.replace(/\.json$/, ''))?.plugin === plugin);

/** What a plugin has left behind, once its house-keeping is over: in staging, and receipts of no version that is there. */
export function litterOf(root: string, plugin: string): string[] {
  const { previous, live, staging } = layoutOf(root);
  const trees = [live(plugin), ...ofPlugin(previous, plugin).map((name) => join(previous, name))];
  const known = new Set(trees.map((tree) => `${plugin}.${markerIn(tree)?.installId}.json`));
  const receipts = ofPlugin(join(root, '.receipts'), plugin).filter((name) => !known.has(name));
  return [...ofPlugin(staging, plugin), ...receipts];
}

export async function lookAt(root: string, plugin: string): Promise<Look> {
  const layout = layoutOf(root);
  const live = layout.live(plugin);
  const files = existsSync(live) ? await snapshotTree(live) : undefined;
  const marker = markerIn(live);
  const state = join(root, '.state', `${plugin}.json`);
  const { held } = existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')) as { held?: string }) : {};
  return {
    installId: marker?.installId,
    replaced: marker?.replaced,
    tree: marker?.tree,
    bundle: marker?.bundle,
    held,
    print: JSON.stringify([files, held]),
  };
}

/** The fields of any answer to a change of a plugin. */
export type Answer = {
  status?: string;
  installId?: string | null;
  tree?: string;
  bundle?: string;
  replaced?: string | null;
  held?: string | null;
};
/** Either the answer, or the fault. */
export type Said = { answer: Answer } | { fault: Fault };

/**
 * Holds what was said against the disk.
 *
 * @param mayBeUnknown nobody could know, so the fault may say `maybe`. @returns what is not true, a line each.
 */
export function untruths(before: Look, now: Look, said: Said, mayBeUnknown = false): string[] {
  const isChanged = before.print !== now.print;
  if ('fault' in said) {
    const { code, executed, message } = said.fault;
    const what = `${code} "${message}" says executed "${executed}"`;
    if (executed === 'maybe') return mayBeUnknown ? [] : [`${what}, although it can be known`];
    return (executed === 'yes') === isChanged
      ? []
      : [`${what}, and live ${isChanged ? 'has' : 'has not'} changed`];
  }
  const { status, installId, tree, bundle, replaced, held } = said.answer;
  const wrong: string[] = [];
  const same = (what: string, is: unknown, must: unknown): void => {
    if (is !== must) wrong.push(`${what} is ${String(is)} on the disk, and ${String(must)} was said`);
  };
  if (status === 'installed' || status === 'rolled-back' || status === 'present') {
    same('the installId', now.installId, installId);
    same('the tree', now.tree, tree);
    same('the bundle', now.bundle, bundle);
    same('what it replaced', now.replaced, replaced);
  }
  if (status === 'installed') {
    // The chain has one link more, and not two.
    if (now.replaced !== (before.installId ?? null)) wrong.push('it was installed more than once');
  }
  if (status === 'removed') same('the installId', now.installId, undefined);
  if (held !== undefined) same('the hold', now.held ?? null, held);
  return wrong;
}

/** What a promise comes to. */
export const saidBy = (work: Promise<Answer>): Promise<Said> =>
  work.then(
    (answer) => ({ answer }),
    (fault: unknown) => ({ fault: fault as Fault }),
  );
