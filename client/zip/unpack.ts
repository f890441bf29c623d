/**
 * Unpacks a zip into a directory of its own, from which it is packed like any other. The whole zip is checked before the
 * first file is written, and each file is checked as it is written. Links come last: nothing is written through one.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rm, symlink } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';

import { Fault, type FaultCode } from '../../shared/api/fault.ts';
import { fallbackOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { Violations } from '../../shared/api/violations.ts';
import { BUNDLE_HEAD_BYTES, bundleKind } from '../../shared/format/bundle-kind.ts';
import {
  createIgnore,
  type FileEntry,
  type Ignore,
  isAppleDouble,
  mayBeAppleDouble,
} from '../../shared/format/tree.ts';
import { checkPath, Claims, codeOfRule, parentOf, parentsOf } from '../../shared/rule/path-rules.ts';
import { below, findTop } from '../../shared/rule/top.ts';
import { makeTemporary, systemFault } from '../temporary.ts';
import { content } from './content.ts';
import { bytesAt, type ViolationListener, readEnd } from './end.ts';
import { readEntries } from './entries.ts';
import { whyLeftOut } from './links.ts';
import { type PlacedEntry, placeEntries } from './places.ts';

/** The limits of an agent whose owner has set none: bytes, entries, levels. */
export const LIMITS: Readonly<Record<'packed' | 'unpacked' | 'entries' | 'depth' | 'ratio', number>> = {
  packed: fallbackOf(settings.maxPacked),
  unpacked: fallbackOf(settings.maxUnpacked),
  entries: fallbackOf(settings.maxEntries),
  depth: fallbackOf(settings.maxDepth),
  ratio: fallbackOf(settings.maxRatio),
};
const RATIO_FREE_BYTES = 1024 * 1024;
/** The names in the targets of links, for each possible entry. Each name costs a search. */
const STEPS_PER_ENTRY = 50;
/** No path is longer, so a link with a longer target leads to nothing. */
const TARGET_BYTES = 4096;

/** A plugin that was unpacked. */
export type UnpackedZip = {
  /** The directory of the plugin: a real path. */
  root: string;
  /** The name of the directory around the plugin, else that of the zip. */
  name: string;
  /** The mode of each file by its path in the plugin: the file system may keep none. */
  modes: ReadonlyMap<string, FileEntry['mode']>;
  /** The links that lead to nothing in the zip. */
  skipped: { path: string; why: string }[];
  /** Removes the directory. */
  dispose(): Promise<void>;
};

/** Whether a file is a zip, by its first bytes. A directory, and what cannot be read, is none. */
export async function isZip(path: string): Promise<boolean> {
  // Opening a pipe would wait for somebody who writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  try {
    if (file === undefined || !(await file.stat()).isFile()) return false;
    return bundleKind(await bytesAt(file, 0, BUNDLE_HEAD_BYTES)) === 'zip';
  } finally {
    await file?.close();
  }
}

/**
 * Unpacks a zip into a temporary directory.
 *
 * @param goesOn is called for each entry and each part of one. What it throws ends the work, and nothing is left behind.
 * @throws Fault ARCHIVE_* with every rule that the zip breaks; LIMIT_*; TOO_LARGE.
 */
export async function unpackZip(
  path: string,
  ignore: readonly string[],
  goesOn: () => void,
): Promise<UnpackedZip> {
  const { directory, dispose } = await makeTemporary('airlock-zip-');
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const unpacked = await new Unpacking(file, directory, createIgnore(ignore), goesOn).all();
    const name = basename(unpacked.top) || basename(path, extname(path));
    return { root: join(directory, unpacked.top), name, ...unpacked, dispose };
  } catch (error) {
    // The first failure counts, also if the disk lets nothing be removed any more.
    await dispose().catch(() => undefined);
    throw systemFault(error, `Unpacking "${path}" in "${directory}"`);
  } finally {
    await file?.close();
  }
}

type Unpacked = Pick<UnpackedZip, 'modes' | 'skipped'> & { top: string };
/** An entry whose name is its clean path. */
type Named = PlacedEntry & { path: string };

class Unpacking {
  readonly #findings = new Violations();
  readonly #note: ViolationListener = (path, rule, what) =>
    this.#findings.note(path, rule, codeOfRule(rule), what);
  readonly #claims = new Claims();
  readonly #file: FileHandle;
  readonly #directory: string;
  readonly #ignore: Ignore;
  readonly #goesOn: () => void;
  /** The directories that are there. */
  readonly #made = new Set<string>(['']);
  #steps = 0;

  constructor(file: FileHandle, directory: string, ignore: Ignore, goesOn: () => void) {
    this.#file = file;
    this.#directory = directory;
    this.#ignore = ignore;
    this.#goesOn = goesOn;
  }

  async all(): Promise<Unpacked> {
    const entries = this.#named(await this.#read());
    this.#refuse();
    const modes = new Map<string, FileEntry['mode']>();
    const links = new Map<string, string>();
    for (const entry of entries) {
      this.#goesOn();
      if (entry.kind === 'link') links.set(entry.path, await this.#target(entry));
      else if (entry.kind === 'directory') await this.#make(entry.path);
      else if (await this.#write(entry)) modes.set(entry.path, entry.mode);
    }
    this.#refuse();
    const directories = entries.flatMap(({ path, kind }) =>
      kind === 'directory' ? [path, ...parentsOf(path)] : parentsOf(path),
    );
    const top = findTop([...modes.keys()], [...new Set(directories)], [...links.keys()]);
    const skipped = await this.#link(links, top);
    const inside = [...modes].filter(([path]) => top === '' || path.startsWith(`${top}/`));
    return { top, modes: new Map(inside.map(([path, mode]) => [below(top, path), mode])), skipped };
  }

  /** Reads and checks all but the bytes of the entries. */
  async #read(): Promise<PlacedEntry[]> {
    const { size } = await this.#file.stat();
    if (size > LIMITS.packed) {
      throw new Fault('TOO_LARGE', `The zip has ${size} bytes, and ${LIMITS.packed} are the most`, {
        hint: 'Leave out what the plugin does not need, or unpack it and name its directory',
      });
    }
    const central = await readEnd(this.#file, size, this.#note);
    if (central === undefined) throw this.#findings.fault();
    if (central.count === 0) {
      this.#note('', 84, 'it holds nothing');
      throw this.#findings.fault();
    }
    // The reading ends after so many, whatever the directory holds.
    if (central.count > LIMITS.entries) {
      throw this.#limit(95, 'LIMIT_ENTRIES', `The zip holds more than ${LIMITS.entries} entries`);
    }
    const entries = await readEntries(this.#file, central, this.#note, this.#goesOn);
    if (entries === undefined) throw this.#findings.fault();
    const unpacked = entries.reduce((sum, entry) => sum + entry.size, 0);
    if (unpacked > LIMITS.unpacked) {
      throw this.#limit(94, 'LIMIT_UNPACKED', `The zip unpacks to more than ${LIMITS.unpacked} bytes`);
    }
    if (unpacked > RATIO_FREE_BYTES && unpacked > size * LIMITS.ratio) {
      throw this.#limit(93, 'LIMIT_RATIO', `The zip expands to more than ${LIMITS.ratio} times its size`);
    }
    return placeEntries(this.#file, entries, central, this.#note);
  }

  /** Checks the names, and leaves out what is not part of a plugin. */
  #named(entries: readonly PlacedEntry[]): Named[] {
    const named = entries.flatMap((entry): Named[] => {
      const checked = checkPath(entry.name, entry.kind === 'directory', LIMITS.depth);
      if (!checked.ok) {
        for (const { rule, what } of checked.breaks) this.#note(entry.name, rule, what);
        return [];
      }
      const { path } = checked;
      const isIgnored = this.#ignore(entry.kind === 'directory' ? `${path}/` : path);
      return path === '' || isIgnored ? [] : [{ ...entry, path }];
    });
    const links = new Set(named.flatMap(({ path, kind }) => (kind === 'link' ? [path] : [])));
    return named.filter((entry) => {
      const throughLink = parentsOf(entry.path).find((parent) => links.has(parent));
      if (throughLink !== undefined) {
        this.#note(entry.name, 38, `it leads through the link "${throughLink}"`);
        return false;
      }
      const { path, name, kind } = entry;
      const [place, raw] = kind === 'directory' ? (['directory', path] as const) : (['file', name] as const);
      const clash = this.#claims.claim(path, place, raw);
      if (clash !== undefined) this.#note(name, clash.rule, clash.what);
      return clash === undefined;
    });
  }

  /** @returns whether the file is part of the plugin: one in which macOS keeps attributes is not. */
  async #write(entry: Named): Promise<boolean> {
    const place = this.#place(entry.path);
    await this.#make(parentOf(entry.path));
    const file = await open(place, 'wx', entry.mode === '755' ? 0o755 : 0o644);
    let head = Buffer.alloc(0);
    try {
      for await (const part of this.#content(entry)) {
        if (head.length < 4) head = Buffer.concat([head, part.subarray(0, 4)]);
        await file.writeFile(part);
      }
    } finally {
      await file.close();
    }
    if (!mayBeAppleDouble(entry.path) || !isAppleDouble(head)) return true;
    await rm(place);
    return false;
  }

  async *#content(entry: Named): AsyncGenerator<Buffer, void, undefined> {
    for await (const part of content(this.#file, entry, this.#note)) {
      this.#goesOn();
      yield part;
    }
  }

  async #target(entry: Named): Promise<string> {
    let target = Buffer.alloc(0);
    // All of it is read and checked, but no more is kept than one byte too many.
    for await (const part of this.#content(entry)) {
      target = Buffer.concat([target, part.subarray(0, TARGET_BYTES + 1 - target.length)]);
    }
    // No path holds a NUL, so such a link leads to nothing.
    return target.length > TARGET_BYTES || target.includes(0) ? '' : target.toString('utf8');
  }

  /** Makes the links that lead to something inside the zip. @returns the others. */
  async #link(links: ReadonlyMap<string, string>, top: string): Promise<UnpackedZip['skipped']> {
    const skipped: UnpackedZip['skipped'] = [];
    const has = (path: string): boolean => this.#claims.kindOf(path) !== undefined;
    for (const [path, target] of links) {
      const why = whyLeftOut(path, { links, has }, (count) => this.#step(count));
      const known = top === '' || path.startsWith(`${top}/`) ? below(top, path) : path;
      if (why === undefined) {
        await this.#make(parentOf(path));
        await symlink(target, this.#place(path)).catch((error: unknown) => {
          skipped.push({ path: known, why: `the link cannot be made here: ${(error as Error).message}` });
        });
      } else {
        skipped.push({ path: known, why });
      }
    }
    return skipped;
  }

  async #make(path: string): Promise<void> {
    if (this.#made.has(path)) return;
    await mkdir(this.#place(path), { recursive: true });
    this.#made.add(path);
  }

  #step(count: number): void {
    this.#steps += count;
    const most = LIMITS.entries * STEPS_PER_ENTRY;
    if (this.#steps > most) {
      throw this.#limit(95, 'LIMIT_ENTRIES', `The links of the zip lead through more than ${most} names`);
    }
  }

  #place(path: string): string {
    return join(this.#directory, path);
  }

  #refuse(): void {
    if (!this.#findings.none) throw this.#findings.fault();
  }

  #limit(rule: number, code: FaultCode, what: string): Fault {
    return this.#findings.added(
      new Fault(code, what, {
        hint: 'Leave out what the plugin does not need, or unpack it and name its directory',
        violations: [{ path: '', rule, code, what }],
      }),
    );
  }
}
