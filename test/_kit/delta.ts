/** Deltas as a client would send them, and those that no client would. */
import { receiptOf } from '../../agent/store/records.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { DELTA_LIST, type DeltaList } from '../../shared/format/delta.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { deliver, type Room, sha256 } from './install-room.ts';
import { file, gzip, tar } from './tar-builder.ts';

/** What a delta is made of. */
export type DeltaContent = {
  list: Partial<DeltaList> | string;
  sent?: Record<string, string>;
  tree?: string;
};

/** The tree that a list makes, as the agent would find it. */
export function treeOf(
  room: Room,
  base: string,
  { without = [], take = [] }: Partial<DeltaList>,
  sent: Record<string, string>,
): string {
  const had = receiptOf(room.context, 'lint', base)?.list ?? [];
  const kept = had.filter(({ path }) => !without.includes(path));
  const taken = take.flatMap(({ path, mode, from }) => {
    const source = had.find((one) => one.path === from);
    return source === undefined ? [] : [{ ...source, path, mode }];
  });
  const files = Object.entries(sent).map(([path, text]) => ({
    path,
    size: text.length,
    mode: '644' as const,
    sha256: sha256(text),
  }));
  return treeDigest([...kept, ...taken, ...files]);
}

/** Installs a delta, as a client would send it. */
export function deliverDelta(
  room: Room,
  base: string,
  { list, sent = {}, tree }: DeltaContent,
  more: Partial<BeginParams> = {},
): Promise<Installed> {
  const text = typeof list === 'string' ? list : JSON.stringify({ base, without: [], take: [], ...list });
  const bytes = gzip(
    tar(file(DELTA_LIST, text), ...Object.entries(sent).map(([path, content]) => file(path, content))),
  );
  const digest =
    tree ?? (typeof list === 'string' ? `sha256:${'0'.repeat(64)}` : treeOf(room, base, list, sent));
  return deliver(room, bytes, {
    bundle: { size: 123_456, sha256: 'c'.repeat(64) },
    tree: digest,
    delta: { base, size: bytes.length, sha256: sha256(bytes) },
    ...more,
  });
}
