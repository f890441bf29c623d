/** Whether what is said about an operation is true: its answer or its fault, held against the disk. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Fault } from '../../shared/api/fault.ts';
import { MARKER, layoutOf } from '../../shared/format/layout.ts';
import { readMarker } from '../../shared/format/marker.ts';
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
  receipts: string[];
  /** All of live, and what is noted; equal only if nothing has changed. */
  print: string;
};

export async function lookAt(root: string, plugin: string): Promise<Look> {
  const layout = layoutOf(root);
  const live = layout.live(plugin);
  const isThere = existsSync(live);
  const files = isThere ? await snapshotTree(live) : undefined;
  const reading = isThere ? readMarker(readFileSync(join(live, MARKER), 'utf8')) : undefined;
  const marker = reading?.kind === 'full' ? reading.marker : undefined;
  const state = join(root, '.state', `${plugin}.json`);
  const { held } = existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')) as { held?: string }) : {};
  return {
    installId: marker?.installId,
    replaced: marker?.replaced,
    tree: marker?.tree,
    bundle: marker?.bundle,
    held,
    receipts: readdirSync(join(root, '.receipts'))
      .filter((name) => parseSlotName(name.replace(/\.json$/, ''))?.plugin === plugin)
      .toSorted(),
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
  const known = [now.installId, before.installId, before.replaced].map((id) => `${id}.json`);
  for (const receipt of now.receipts) {
    if (!known.some((id) => receipt.endsWith(id))) wrong.push(`the receipt ${receipt} belongs to nothing`);
  }
  return wrong;
}

/** What a promise comes to. */
export const saidBy = (work: Promise<Answer>): Promise<Said> =>
  work.then(
    (answer) => ({ answer }),
    (fault: unknown) => ({ fault: fault as Fault }),
  );
