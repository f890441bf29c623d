/** What the promises say of a root on the disk, asked from outside: by the gate, and by a look at every file. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { hashTree } from '../../agent/store/tree.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { receiptOf } from '../../agent/store/records.ts';
import { createLoader } from '../../loader/index.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { readMarker } from '../../shared/format/marker.ts';
import { parseSlotName } from '../../shared/format/name.ts';
import { compareTrees } from '../../shared/format/tree.ts';
import { isHalf } from './at-work.ts';
import { contentOf, makeRoom } from './install-room.ts';
import { snapshotTree } from './tree-snapshot.ts';

/** A tree as it must be, without its marker; undefined: nothing may be live. */
export type Tree = Record<string, string> | undefined;
/** The trees that may be live, by what they are called. */
export type Versions = Readonly<Record<string, Tree>>;

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** The files and directories of what is live, without the marker, which is another one at every install. */
export async function treeLive(root: string, plugin: string): Promise<Tree> {
  const live = join(root, plugin);
  if (!isThere(live)) return undefined;
  const { [MARKER]: _, ...tree } = await snapshotTree(live);
  return tree;
}

/**
 * Which of the versions is live, complete, with nothing beside it and admitted by the gate.
 *
 * @throws Error that says what is wrong, if none is.
 */
export async function versionLive(root: string, plugin: string, versions: Versions): Promise<string> {
  const answer = await createLoader({ roots: [root], verify: 'digest' }).gate(plugin);
  const tree = await treeLive(root, plugin);
  const seen = JSON.stringify(tree);
  const found = Object.entries(versions).find(([, version]) => JSON.stringify(version) === seen)?.[0];
  if (found === undefined) throw new Error(tree === undefined ? 'nothing is live' : 'live is a mixture');
  if (tree === undefined) return found;
  if (!answer.admitted) throw new Error(`the gate refuses: ${answer.reason}: ${answer.detail}`);
  const { verdict } = verifyPlugin(makeRoom({}, nodeDisk, root).context, plugin);
  if (verdict !== 'intact') throw new Error(`live is ${verdict}`);
  return found;
}

/** Entries of staging, and of the snapshots those that were being removed or written. */
export function litterIn(root: string): string[] {
  const previous = readdirSync(join(root, '.previous')).filter(isHalf);
  return [...readdirSync(join(root, '.staging')), ...previous];
}

/** The snapshots that are not what their receipt lists; litter is no snapshot. */
export function brokenSnapshots(root: string): string[] {
  const { context, layout } = makeRoom({}, nodeDisk, root);
  return readdirSync(layout.previous).filter((name) => {
    if (isHalf(name)) return false;
    const directory = join(layout.previous, name);
    const plugin = parseSlotName(name)?.plugin;
    const path = join(directory, MARKER);
    const marker = isThere(path) ? readMarker(contentOf(nodeDisk, path)) : undefined;
    if (plugin === undefined || marker?.kind !== 'full') return true;
    const receipt = receiptOf(context, plugin, marker.marker.installId);
    if (receipt === undefined) return true;
    const { files, others } = hashTree(context, directory);
    const { modified, missing, unlisted } = compareTrees(receipt.list, files);
    return [...modified, ...missing, ...unlisted, ...others].length > 0;
  });
}
