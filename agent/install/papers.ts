/** What an install writes down: the intent, as it begins and when the tree is known, and the marker. */
import type { Intent } from '../../shared/intent.ts';
import type { Marker } from '../../shared/marker.ts';
import type { BeginParams } from '../../shared/methods.ts';
import type { Ground } from './ground.ts';
import type { Validated } from './validate.ts';

/** The intent of an install that begins to receive: the tree is not known yet, so nothing can be finished with it. */
export function firstIntent(
  ground: Ground,
  params: BeginParams,
  stamp: string,
  from: Intent['from'],
): Intent {
  const { plugin, operationId, bundle } = params;
  return {
    version: 1,
    op: 'install',
    plugin,
    stamp,
    operationId,
    path: pathOf(ground, from),
    from,
    source: null,
    tree: null,
    bundle: `sha256:${bundle.sha256}`,
    files: 0,
    bytes: 0,
    goal: 'forward',
    clearing: false,
    attempts: 0,
    owner: ground.owner,
  };
}

/** The intent with which the swap is made: what is live just now, and which tree is to take its place. */
export function readyIntent(ground: Ground, first: Intent, from: Intent['from'], tree: Validated): Intent {
  const { bytes, files } = tree;
  return { ...first, path: pathOf(ground, from), from, tree: tree.tree, files: files.length, bytes };
}

const pathOf = ({ disk }: Ground, from: Intent['from']): Intent['path'] =>
  from !== null && disk.exchange !== undefined ? 'exchange' : 'rename';

/** The marker of a validated tree. @param by the label of who asked. */
export function makeMarker(
  ground: Ground,
  params: BeginParams,
  by: string,
  installId: string,
  tree: Validated,
  replaced: string | null,
): Marker {
  const { plugin, bundle, source } = params;
  return {
    version: 1,
    plugin,
    pluginVersion: tree.manifest?.version ?? '0.0.0',
    installId,
    bundle: `sha256:${bundle.sha256}`,
    tree: tree.tree,
    files: tree.files.length,
    bytes: tree.bytes,
    installedAt: new Date(ground.now()).toISOString(),
    ...(source === undefined ? {} : { source }),
    by,
    replaced,
  };
}
