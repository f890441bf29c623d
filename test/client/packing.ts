/** A plugin's directory to be packed, and what GNU tar makes of the bundle. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach } from 'vitest';

import { packDirectory, type Packed, type PackOptions } from '../../client/pack/pack.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type FileEntry, modeOf } from '../../shared/format/tree.ts';

export const MANIFEST = 'name: lint\nversion: 1.2.3\n';
/** A scratch directory, and in it the plugin that is packed: new for every test. */
export let base: string;
export let plugin: string;

/** A file calls this once: hooks that a module sets as it is loaded count for the first file of a worker only. */
export function packsInScratch(): void {
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'airlock-pack-test-'));
    plugin = join(base, 'lint');
    await files({ 'plugin.yaml': MANIFEST });
  });
  afterEach(() => rm(base, { recursive: true, force: true }));
}

export async function files(contents: Record<string, string>, below = plugin): Promise<void> {
  for (const [path, text] of Object.entries(contents)) {
    await mkdir(dirname(join(below, path)), { recursive: true });
    await writeFile(join(below, path), text);
  }
}

export async function packed(options: PackOptions = {}): Promise<Packed> {
  return packDirectory(plugin, { out: join(base, `${Math.random()}.tgz`), ...options });
}

export const refused = (options: PackOptions = {}): Promise<Fault> =>
  packed(options).then(
    () => new Fault('INTERNAL', 'nothing was thrown'),
    (error: unknown) => error as Fault,
  );

/** The names in the archive, as GNU tar reads them. */
export const listed = ({ file }: Packed): string[] =>
  execFileSync('tar', ['--quoting-style=literal', '-tzf', file], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);

/** The file list of what GNU tar makes of the archive. */
export async function extracted({ file }: Packed): Promise<FileEntry[]> {
  const into = join(base, 'extracted');
  await mkdir(into);
  execFileSync('tar', ['-xzf', file, '-C', into]);
  const found: FileEntry[] = [];
  for (const entry of await readdir(into, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const place = join(entry.parentPath, entry.name);
    const { size, mode } = await stat(place);
    const sha256 = createHash('sha256')
      .update(await readFile(place))
      .digest('hex');
    found.push({ path: place.slice(into.length + 1), size, mode: modeOf(mode), sha256 });
  }
  return found;
}
