/** Applies the rules for plugins to the files that are packed. */
import type { FileReading } from '../../shared/format/layout.ts';
import { type FoundManifest, MANIFEST_MAX_BYTES } from '../../shared/format/manifest.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { checkPlugin, filesToRead } from '../../shared/rule/plugin/check-plugin.ts';
import type { FileHead } from '../../shared/rule/plugin/file-head.ts';
import type { Finding } from '../../shared/rule/plugin/finding.ts';
import { readTextFile } from './text-file.ts';
import type { Walked } from './walk.ts';

const MEBIBYTE = 1024 * 1024;
const READ_LIMITS = { files: 20_000, bytes: 64 * MEBIBYTE, fileBytes: MEBIBYTE };

type Checked = {
  entries: readonly Walked[];
  /** The files among the entries, as they were packed. */
  list: readonly FileEntry[];
  heads: ReadonlyMap<string, FileHead>;
  found: FoundManifest | undefined;
};

/** What the rules say, beside what refuses a plugin. A file that is gone by now is said to be unreadable. */
export async function checkFiles({ entries, list, heads, found }: Checked): Promise<Finding[]> {
  const byPath = new Map(entries.map((one) => [one.path, one]));
  const { paths, left } = filesToRead(list, READ_LIMITS);
  const texts = new Map<string, FileReading>();
  for (const path of paths) {
    texts.set(path, await readingOf(byPath.get(path)));
  }
  const directories = entries.flatMap((one) => (one.kind === 'directory' ? [one.path] : []));
  return checkPlugin({
    files: list,
    directories,
    heads,
    texts,
    left,
    found,
    hasModes: process.platform !== 'win32',
  });
}

async function readingOf(entry: Walked | undefined): Promise<FileReading> {
  if (entry === undefined || entry.kind === 'directory') return { kind: 'absent' };
  return entry.kind === 'text'
    ? { kind: 'text', text: entry.text }
    : readTextFile(entry.source, MANIFEST_MAX_BYTES);
}
