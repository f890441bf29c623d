/** Roots on a real disk, with plugins as an install leaves them, for tests of the loader. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { onTestFinished } from 'vitest';

import type { Intent } from '../../shared/format/intent.ts';
import { type Layout, MARKER, layoutOf } from '../../shared/format/layout.ts';
import { type Marker, writeMarker } from '../../shared/format/marker.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import { type FileEntry, treeDigest } from '../../shared/format/tree.ts';

export const STAMP = '20260508T141530123Z-9f86d081';
export const LATER = '20260509T141530123Z-0a1b2c3d';

/** A root of its own for each test, gone after it. */
export async function makeRoot(): Promise<Layout> {
  const parent = await mkdtemp(join(tmpdir(), 'airlock-loader-'));
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  const layout = layoutOf(join(parent, 'plugins'));
  for (const directory of [layout.receipts, layout.state]) {
    await mkdir(directory, { recursive: true });
  }
  await mkdir(layout.staging, { mode: 0o700 });
  await mkdir(layout.previous, { mode: 0o700 });
  return layout;
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export const yamlOf = (name: string, more = ''): string => `name: ${name}\nversion: 1.2.3\n${more}`;

export function markerOf(name: string, list: readonly FileEntry[], installId = STAMP): Marker {
  return {
    version: 1,
    plugin: name,
    pluginVersion: '1.2.3',
    installId,
    bundle: `sha256:${'ab'.repeat(32)}`,
    tree: treeDigest(list),
    files: list.length,
    bytes: list.reduce((sum, { size }) => sum + size, 0),
    installedAt: '2026-05-08T14:15:30.123Z',
    by: 'test',
    replaced: null,
  };
}

/** Writes files below a directory; what ends in `.sh` becomes executable. */
export async function writeFiles(directory: string, files: Record<string, string>): Promise<FileEntry[]> {
  const list: FileEntry[] = [];
  for (const [path, text] of Object.entries(files)) {
    const mode = path.endsWith('.sh') ? '755' : '644';
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text, { mode: Number.parseInt(mode, 8) });
    list.push({ path, size: Buffer.byteLength(text), mode, sha256: sha256(text) });
  }
  return list;
}

/** A plugin as an install leaves it: files, receipt, and the marker last. */
export async function install(
  layout: Layout,
  name: string,
  files: Record<string, string> = { 'plugin.yaml': yamlOf(name) },
  installId = STAMP,
  directory = layout.live(name),
): Promise<Marker> {
  const list = await writeFiles(directory, files);
  const marker = markerOf(name, list, installId);
  const receipt: Receipt = { ...marker, list, skipped: [] };
  await writeFile(layout.receipt(name, installId), JSON.stringify(receipt));
  await writeFile(join(directory, MARKER), writeMarker(marker));
  return marker;
}

/** Says that a plugin is being swapped without an exchange. */
export async function writeIntent(
  layout: Layout,
  name: string,
  changes: Partial<Intent> = {},
): Promise<string> {
  const intent: Intent = {
    version: 1,
    op: 'install',
    plugin: name,
    stamp: LATER,
    operationId: 'operation-1',
    path: 'rename',
    from: { installId: STAMP, kind: 'marked' },
    source: null,
    tree: null,
    bundle: null,
    files: 0,
    bytes: 0,
    goal: 'forward',
    clearing: false,
    attempts: 0,
    owner: { bootId: 'boot', pidNamespace: '1', pid: 1, startTime: '1' },
    ...changes,
  };
  const path = layout.intent(name, intent.stamp);
  await writeFile(path, JSON.stringify(intent));
  return path;
}
