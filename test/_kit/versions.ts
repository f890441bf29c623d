/** Versions of plugins that can be told apart byte for byte, and what of them lies on a disk. */
import { errorCode } from '../../shared/api/fault.ts';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { createLoader } from '../../loader/index.ts';
import { MARKER, layoutOf } from '../../shared/format/layout.ts';
import { parseSlotName } from '../../shared/format/name.ts';
import { isHalf } from './at-work.ts';
import { type Bundle, sha256Of } from './bundle.ts';
import { file, gzip, tar } from './tar-builder.ts';
import { snapshotTree } from './tree-snapshot.ts';

/** What is needed to know a version again: the print is that of its tree as `snapshotTree` sees it, without the marker. */
export type Known = { number: number; print: string };
/** One version of a plugin. */
export type Version = Known & { plugin: string; bundle: Bundle };

/** Bytes that do not compress, always the same for the same text. */
function noise(text: string, bytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 64) }, (_, i) =>
    createHash('sha512').update(`${text} ${i}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}

const printOf = (tree: Record<string, string>): string =>
  sha256Of(Buffer.from(JSON.stringify(Object.entries(tree).toSorted(([a], [b]) => (a < b ? -1 : 1)))));

/** A plugin of so many files of some KiB each, of which one is large and one executable. */
export function versionOf(plugin: string, number: number, { files = 80, large = 300_000 } = {}): Version {
  const contents: Record<string, Buffer> = {
    'plugin.yaml': Buffer.from(`name: ${plugin}\nversion: 1.0.${number}\n`),
    'hooks/run.sh': noise(`run ${plugin} ${number}`, 700),
    'data.bin': noise(`large ${plugin} ${number}`, large),
  };
  for (let i = Object.keys(contents).length; i < files; i += 1) {
    const bytes = 500 + ((i * 997) % 4000);
    contents[`rules/part-${i % 7}/${i}.md`] = noise(`${plugin} ${number} ${i}`, bytes);
  }
  const tree: Record<string, string> = {};
  const entries = Object.entries(contents).map(([path, content]) => {
    const mode = path.endsWith('.sh') ? 0o755 : 0o644;
    tree[path] = `file ${mode.toString(8)} ${sha256Of(content)}`;
    const parents = path.split('/').slice(0, -1);
    for (const [depth] of parents.entries()) tree[parents.slice(0, depth + 1).join('/')] = 'directory 755';
    return file(path, content, { mode });
  });
  const bytes = gzip(tar(...entries));
  return {
    plugin,
    number,
    bundle: { bytes, size: bytes.length, sha256: sha256Of(bytes) },
    print: printOf(tree),
  };
}

/** What is at a place: a version that is there byte for byte and mode for mode, nothing, or what is wrong. */
export type Found =
  | { kind: 'version'; number: number }
  | { kind: 'absent' }
  | { kind: 'broken'; why: string };

/** Which of these versions a directory holds. */
export async function versionAt(directory: string, versions: readonly Known[]): Promise<Found> {
  let found: Record<string, string>;
  try {
    found = await snapshotTree(directory);
  } catch (error) {
    const isAbsent = errorCode(error) === 'ENOENT';
    return isAbsent ? { kind: 'absent' } : { kind: 'broken', why: String(error) };
  }
  const { [MARKER]: marker, ...tree } = found;
  if (marker === undefined) return { kind: 'broken', why: 'it has no marker' };
  const print = printOf(tree);
  const version = versions.find((one) => one.print === print);
  return version === undefined
    ? { kind: 'broken', why: 'its files are those of no version' }
    : { kind: 'version', number: version.number };
}

/** What the gate says of a plugin, every byte hashed, and whether that is what lies there. */
export async function judge(root: string, plugin: string, versions: readonly Known[]): Promise<Found> {
  const found = await versionAt(join(root, plugin), versions);
  if (found.kind === 'absent') return found;
  const answer = await createLoader({ roots: [root], verify: 'digest' }).gate(plugin);
  if (!answer.admitted) {
    return { kind: 'broken', why: `the gate refuses it: ${answer.reason}: ${answer.detail}` };
  }
  const { manifest, level } = answer.plugin;
  if (found.kind === 'broken') return found;
  return level === 'verified' && manifest?.version === `1.0.${found.number}`
    ? found
    : { kind: 'broken', why: `admitted is ${manifest?.version} (${level}), there is 1.0.${found.number}` };
}

/** What recovery must not have left: anything in staging, half-removed snapshots, and of a plugin half-written ones. */
export async function litterIn(root: string, plugin: string, versions: readonly Known[]): Promise<string[]> {
  const { staging, previous } = layoutOf(root);
  const litter = (await readdir(staging)).map((name) => `.staging/${name} is left`);
  for (const name of await readdir(previous)) {
    const isWhole =
      parseSlotName(name)?.plugin !== plugin ||
      (await versionAt(join(previous, name), versions)).kind === 'version';
    if (isHalf(name)) litter.push(`.previous/${name} is left`);
    else if (!isWhole) litter.push(`.previous/${name} is no whole version`);
  }
  return litter;
}
