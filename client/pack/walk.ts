/**
 * Walks a plugin's directory and lists what goes into the bundle. It opens only files with names that macOS uses for
 * attributes.
 */
import { type Stats, constants } from 'node:fs';
import { lstat, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { inOrder } from '../../shared/archive/ustar.ts';
import { type FileEntry, isAppleDouble, mayBeAppleDouble } from '../../shared/format/tree.ts';
import type { LeftOut } from './choice.ts';
import { looksSecret } from './secrets.ts';

/**
 * An entry of the bundle: its path in the bundle, and the path of its bytes. A mode is there only if the file system does
 * not tell it.
 */
export type WalkedFile = {
  kind: 'file';
  path: string;
  source: string;
  mode?: FileEntry['mode'] | undefined;
};
/** A file that is only in the bundle. */
export type WalkedText = { kind: 'text'; path: string; text: string };
export type Walked = WalkedFile | WalkedText | { kind: 'directory'; path: string };
/** An entry that was left out although nothing names it. */
export type Skipped = { path: string; why: string };

export type Walk = {
  /** Sorted by the UTF-8 bytes of their paths, so a directory comes before its content. */
  entries: readonly Walked[];
  skipped: Skipped[];
  /** Paths that look like secrets. They are among the entries too. */
  secrets: string[];
};

/** Links to directories can multiply entries. A plugin with more entries than this is a mistake. */
const MAX_ENTRIES = 200_000;

/**
 * A link that points inside the plugin becomes the file or directory that it points at. A link that points outside, at
 * nothing, at a directory above it or at something that is left out is skipped and named. So are sockets, pipes and
 * devices.
 *
 * @param root a real path without links. @param goesOn is called for each entry. What it throws ends the walk.
 * @throws Fault INVALID_PARAMS for a directory that cannot be read; LIMIT_ENTRIES.
 */
export async function walk(
  root: string,
  leftOut: LeftOut,
  goesOn: () => void = () => undefined,
): Promise<Walk> {
  const walker = new Walker(root, leftOut, goesOn);
  await walker.directory('', root, [root]);
  return {
    entries: inOrder(walker.entries),
    skipped: walker.skipped.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    secrets: walker.secrets.toSorted(),
  };
}

class Walker {
  readonly entries: Walked[] = [];
  readonly skipped: Skipped[] = [];
  readonly secrets: string[] = [];
  readonly #root: string;
  readonly #leftOut: LeftOut;
  readonly #goesOn: () => void;

  constructor(root: string, leftOut: LeftOut, goesOn: () => void) {
    this.#root = root;
    this.#leftOut = leftOut;
    this.#goesOn = goesOn;
  }

  /** @param above the real directories on the way here, including this one: a guard against circles. */
  async directory(path: string, real: string, above: readonly string[]): Promise<void> {
    const names = await reading(path, () => readdir(real));
    for (const name of names) {
      this.#goesOn();
      const inner = path === '' ? name : `${path}/${name}`;
      await this.#entry(inner, join(real, name), above);
    }
  }

  async #entry(path: string, place: string, above: readonly string[]): Promise<void> {
    let found: Stats;
    try {
      found = await lstat(place);
    } catch (error) {
      if (!path.includes('\uFFFD')) throw unreadable(path, error);
      this.skipped.push({ path, why: 'its name is not UTF-8' });
      return;
    }
    if (found.isSymbolicLink()) return this.#link(path, place, above);
    const kind = found.isDirectory() ? 'directory' : 'file';
    // Below a link to a directory the two paths differ, and a pattern may match either.
    if (this.#leftOut(path, kind) || this.#leftOut(this.#pathOf(place), kind)) return;
    if (found.isFile() && mayBeAppleDouble(path) && isAppleDouble(await headOf(path, place))) return;
    await this.#take(path, place, found, above);
  }

  async #link(path: string, place: string, above: readonly string[]): Promise<void> {
    const skip = (why: string): void => {
      if (!this.#leftOut(path, 'file')) this.skipped.push({ path, why });
    };
    const real = await realpath(place).catch(() => undefined);
    if (real === undefined) return skip('the link points at nothing');
    const isInside = real === this.#root || real.startsWith(this.#root + sep);
    if (!isInside) return skip('the link points out of the plugin');
    const found = await reading(path, () => stat(real));
    const kind = found.isDirectory() ? 'directory' : 'file';
    // An archive has a link as a file of its name, so patterns for files apply to it too.
    if (this.#leftOut(path, 'file') || this.#leftOut(path, kind)) return;
    if (above.includes(real)) return skip('the link points at a directory above it');
    const target = this.#pathOf(real);
    if (this.#leftOut(target, kind)) return skip(`the link points at "${target}", which is left out`);
    const mayBe = kind === 'file' && (mayBeAppleDouble(path) || mayBeAppleDouble(target));
    if (mayBe && found.isFile() && isAppleDouble(await headOf(path, real))) {
      return skip(`the link points at "${target}", in which macOS keeps attributes`);
    }
    // A secret stays a secret under another name.
    if (kind === 'file' && looksSecret(target) && !looksSecret(path)) this.secrets.push(path);
    await this.#take(path, real, found, above);
  }

  #pathOf(real: string): string {
    return relative(this.#root, real).split(sep).join('/');
  }

  async #take(path: string, real: string, found: Stats, above: readonly string[]): Promise<void> {
    if (this.entries.length >= MAX_ENTRIES) {
      throw new Fault('LIMIT_ENTRIES', `The plugin has more than ${MAX_ENTRIES} files and directories`, {
        hint: 'Look for links that lead in a circle, or leave files out with an .airlockignore',
      });
    }
    if (found.isDirectory()) {
      this.entries.push({ kind: 'directory', path });
      await this.directory(path, real, [...above, real]);
    } else if (found.isFile()) {
      if (looksSecret(path)) this.secrets.push(path);
      this.entries.push({ kind: 'file', path, source: real });
    } else {
      this.skipped.push({ path, why: `it is a ${kindOf(found)}` });
    }
  }
}

/** The first bytes of a file. */
const headOf = (path: string, place: string): Promise<Buffer> =>
  reading(path, async () => {
    const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  });

function kindOf(found: Stats): string {
  if (found.isSocket()) return 'socket';
  return found.isFIFO() ? 'pipe' : 'device';
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw unreadable(path, error);
  }
}

const unreadable = (path: string, cause: unknown): Fault =>
  new Fault('INVALID_PARAMS', `"${path === '' ? '.' : path}" cannot be read: ${(cause as Error).message}`, {
    cause,
    hint: 'Check its permissions, and that nothing changes the plugin while it is packed',
  });
