/** What a change writes down: the intent, as it begins and as it comes along, and the marker. */
import type { Intent } from '../../shared/intent.ts';
import type { Marker } from '../../shared/marker.ts';
import type { BeginParams } from '../../shared/methods.ts';
import type { Ground } from './ground.ts';
import { writeIntent } from './slot.ts';
import type { Validated } from './validate.ts';

/** The intent of a change under way, as it is on the disk. */
export type Papers = { intent: Intent };

/** Writes down durably how far it has come. On failure the papers say what they said. */
export function amend(ground: Ground, papers: Papers, changes: Partial<Intent>): void {
  const intent = { ...papers.intent, ...changes };
  writeIntent(ground, intent);
  papers.intent = intent;
}

/** The intent of a change that begins: the tree is not known yet, so nothing can be finished with it. */
export function newIntent(
  ground: Ground,
  about: Pick<Intent, 'plugin' | 'operationId' | 'stamp' | 'from'>,
): Intent {
  return {
    version: 1,
    op: 'install',
    ...about,
    path: pathOf(ground, about.from),
    source: null,
    tree: null,
    bundle: null,
    files: 0,
    bytes: 0,
    goal: 'forward',
    clearing: false,
    attempts: 0,
    owner: ground.owner,
  };
}

/** What the intent says when the swap is made: what is live just now, and which tree is to take its place. */
export function readyChanges(
  ground: Ground,
  from: Intent['from'],
  { tree, files, bytes }: Pick<Validated, 'tree' | 'files' | 'bytes'>,
): Partial<Intent> {
  return { path: pathOf(ground, from), from, tree, files: files.length, bytes };
}

/** The way on which a swap sets out. */
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
