/** Bundles made by the system's tar, trees as they lie on the disk, and how a bundle is sent. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { lstat, mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { scratch } from './agent.ts';
import type { Wire } from './wire.ts';

export type Bundle = { bytes: Buffer; sha256: string; size: number };

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Packs files with the system's tar, compressed by its gzip. */
export async function pack(files: Record<string, string | Buffer>): Promise<Bundle> {
  const directory = join(await scratch(), 'plugin');
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  const archive = `${directory}.tgz`;
  await promisify(execFile)('tar', ['-czf', archive, '-C', directory, '.']);
  const bytes = await readFile(archive);
  return { bytes, sha256: sha256Of(bytes), size: bytes.length };
}

/** A plugin of a version, with as many bytes that do not compress as are asked for. */
export const packPlugin = (name: string, version: string, padding = 0): Promise<Bundle> =>
  pack({
    'plugin.yaml': `name: ${name}\nversion: ${version}\n`,
    'skills/one/SKILL.md': `---\nname: one\ndescription: Version ${version}\n---\n\nDo ${version}.\n`,
    'rules/a.md': `Rule of ${version}\n`,
    ...(padding === 0 ? {} : { 'data.bin': randomBytes(padding) }),
  });

let operations = 0;

/** The parameters of an install, under an operation id that nobody has used. */
export function beginOf(
  plugin: string,
  { size, sha256 }: Bundle,
  changes: Partial<BeginParams> = {},
): BeginParams {
  operations += 1;
  return {
    operationId: `operation-${operations}-${process.pid}`,
    plugin,
    bundle: { size, sha256 },
    ...changes,
  };
}

export type Opened = { stream: number; offset: number; limit: number };

/** The credit of a stream, as far as windows have come. */
export function limitOf(wire: Wire, { stream, limit }: Opened): number {
  const windows = wire.notifications('window') as Opened[];
  return Math.max(limit, ...windows.filter((window) => window.stream === stream).map((one) => one.limit));
}

/** What of a stream is acknowledged. */
export function takenOf(wire: Wire, { stream, offset }: Opened): number {
  const windows = wire.notifications('window') as Opened[];
  return Math.max(offset, ...windows.filter((window) => window.stream === stream).map((one) => one.offset));
}

/** Sends bytes from where the agent wants them up to `end`, within the credit. */
export async function sendUpTo(wire: Wire, open: Opened, bytes: Buffer, end = bytes.length): Promise<void> {
  let { offset } = open;
  while (offset < end) {
    const limit = await wire.until(() => {
      const now = limitOf(wire, open);
      return now > offset && now;
    });
    const next = Math.min(end, limit, offset + 60_000);
    wire.frame(open.stream, offset, bytes.subarray(offset, next), next === bytes.length);
    offset = next;
  }
}

/** Installs a bundle from begin to commit. */
export async function push(wire: Wire, params: BeginParams, { bytes }: Bundle): Promise<Installed> {
  const begun: Installed | (Opened & { status: 'open' }) = await wire.request('install.begin', params);
  if (begun.status !== 'open') {
    return begun;
  }
  await sendUpTo(wire, begun, bytes);
  return wire.request('install.commit', { operationId: params.operationId });
}

/** Everything below a directory, by path: what it is, its mode, times and bytes. */
export async function treeOf(
  directory: string,
  without: readonly string[] = [],
): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  const paths = await readdir(directory, { recursive: true });
  const isLeftOut = (path: string): boolean => without.some((name) => `${path}/`.startsWith(`${name}/`));
  for (const path of paths.filter((each) => !isLeftOut(each)).toSorted()) {
    const full = join(directory, path);
    const stat = await lstat(full);
    const content = stat.isFile()
      ? sha256Of(await readFile(full))
      : stat.isSymbolicLink()
        ? await readlink(full)
        : 'directory';
    tree[path] = `${stat.mode.toString(8)} ${stat.mtimeMs} ${stat.ino} ${content}`;
  }
  return tree;
}
