/** The second step: entries of the tar become files of the slot. Regular files and directories; nothing else lands. */
import { type Hash, createHash } from 'node:crypto';

import { Parser, type ReadEntry } from 'tar';

import { Fault } from '../../shared/fault.ts';
import { MARKER } from '../../shared/layout.ts';
import { type FileEntry, modeOf } from '../../shared/tree.ts';
import { Claims, checkPath, parentOf, parentsOf } from './entry.ts';
import { Findings, escape } from './findings.ts';
import type { Ground } from './ground.ts';
import { corrupt } from './unpack.ts';

/** What lies in a slot once the archive has been read to its end. Paths are relative to the slot. */
export type Staged = {
  files: FileEntry[];
  /** Every directory but the slot itself, parents first. */
  directories: string[];
  skipped: string[];
  warnings: string[];
  entries: number;
};

type Open = { path: string; fd: number; hash: Hash; size: number; mode: FileEntry['mode'] };

const OTHER_TYPES: Record<string, [rule: number, what: string]> = {
  CharacterDevice: [44, 'it is a character device'],
  BlockDevice: [45, 'it is a block device'],
  FIFO: [46, 'it is a FIFO'],
  ContiguousFile: [47, 'it is a contiguous file'],
  SparseFile: [48, 'it is a sparse file'],
  OldExtendedHeader: [76, 'it is a header of an old Solaris tar'],
};

/**
 * Reads a tar as it comes and writes its files, each with O_EXCL and each made durable, below `slot`, until the first
 * violation; from there on it only looks, so that the refusal can name all of them.
 */
export class Stager {
  readonly #ground: Ground;
  readonly #slot: string;
  readonly #links: 'skip' | 'refuse';
  readonly #parser: Parser;
  readonly #claims = new Claims();
  readonly #linked = new Set<string>();
  readonly #made = new Set<string>();
  readonly #findings = new Findings();
  readonly #staged: Staged = { files: [], directories: [], skipped: [], warnings: [], entries: 0 };
  #unpacked = 0;
  #ended = false;
  #open: Open | undefined;
  /** Thrown inside a callback of the parser, which might swallow it: kept, and thrown again by {@link write}. */
  #thrown: Error | undefined;

  constructor(ground: Ground, slot: string, links: 'skip' | 'refuse') {
    this.#ground = ground;
    this.#slot = slot;
    this.#links = links;
    // The bytes are plain already: the parser must not look for a compression of its own.
    this.#parser = new Parser({ zstd: false, brotli: false, strict: false, maxDecompressionRatio: Infinity });
    this.#parser.on('entry', (entry: ReadEntry) => this.#guard(() => this.#entry(entry)));
    this.#parser.on('ignoredEntry', (entry: ReadEntry) => this.#guard(() => this.#ignored(entry)));
    this.#parser.on('warn', (code: string, message: unknown) =>
      this.#guard(() => this.#warned(code, String(message))),
    );
    this.#parser.on('eof', () => {
      this.#ended = true;
    });
  }

  /** Time spent parsing and writing, in milliseconds: most of it while bytes still come in. */
  millis = 0;

  get entries(): number {
    return this.#staged.entries;
  }

  /** @throws Fault LIMIT_*, ARCHIVE_CORRUPT, NO_SPACE, or the error of a failed call on the disk. */
  write(plain: Buffer): void {
    const start = performance.now();
    this.#guard(() => {
      if (this.#staged.entries === 0 && plain[0] === 0x1f && plain[1] === 0x8b) {
        throw corrupt('it is compressed twice');
      }
      this.#parser.write(plain);
    });
    this.millis += performance.now() - start;
    this.#rethrow();
  }

  /**
   * Ends the archive.
   *
   * @throws Fault ARCHIVE_* with every violation that was found.
   */
  end(): Staged {
    this.#guard(() => this.#parser.end());
    this.#rethrow();
    if (!this.#findings.none) {
      throw this.#findings.fault();
    }
    if (!this.#ended) {
      throw corrupt('it stops without an end-of-archive mark');
    }
    if (this.#staged.entries === 0) {
      throw corrupt('it is empty');
    }
    return this.#staged;
  }

  /** Closes what is open. The slot itself is the caller's to remove. */
  stop(): void {
    if (this.#open !== undefined) {
      this.#ground.disk.close(this.#open.fd);
      this.#open = undefined;
    }
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#thrown ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  #rethrow(): void {
    if (this.#thrown !== undefined) {
      throw this.#thrown;
    }
  }

  #warned(code: string, message: string): void {
    if (code === 'TAR_ENTRY_INFO') {
      return;
    }
    throw corrupt(message.replace(/^Error: /, ''));
  }

  /** The parser passes over what it does not know; Airlock refuses it. */
  #ignored(entry: ReadEntry): void {
    this.#count();
    this.#refuseType(entry);
  }

  #refuseType(entry: ReadEntry): void {
    const [rule, what] = OTHER_TYPES[entry.type] ?? [53, `its type (${entry.type}) is unknown`];
    this.#findings.note(entry.path, rule, 'ARCHIVE_TYPE', what);
  }

  #count(): void {
    this.#staged.entries += 1;
    const { maxEntries } = this.#ground.policy;
    if (this.#staged.entries > maxEntries) {
      throw new Fault('LIMIT_ENTRIES', `The archive holds more than ${maxEntries} entries`, {
        hint: 'Leave out what the plugin does not need; the owner can raise AIRLOCK_MAX_ENTRIES',
      });
    }
  }

  #entry(entry: ReadEntry): void {
    this.#count();
    if (entry.type === 'File' || entry.type === 'OldFile') {
      this.#file(entry);
    } else if (entry.type === 'Directory') {
      this.#directory(entry);
    } else if (entry.type === 'SymbolicLink' || entry.type === 'Link') {
      this.#link(entry);
    } else {
      this.#refuseType(entry);
    }
    if (this.#open === undefined) {
      entry.resume();
    }
  }

  /** The clean path of an entry that may land, or undefined if it is refused, ignored or only counted. */
  #place(entry: ReadEntry, kind: 'file' | 'directory'): string | undefined {
    const path = this.#checked(entry.path, kind);
    if (path === undefined || path === '') {
      return undefined;
    }
    const throughLink = parentsOf(path).find((parent) => this.#linked.has(parent));
    if (throughLink !== undefined) {
      this.#findings.note(path, 38, 'ARCHIVE_TYPE', `it leads through the link "${throughLink}"`);
      return undefined;
    }
    if (path === MARKER) {
      this.#warn(`${MARKER} of the archive is left out: the agent writes its own`);
      return undefined;
    }
    if (this.#ground.ignore(path)) {
      this.#staged.skipped.push(path);
      this.#warn(`${path} is left out: it is no part of a plugin`);
      return undefined;
    }
    const clash = this.#claims.claim(path, kind);
    if (clash !== undefined) {
      this.#findings.note(path, clash.rule, 'ARCHIVE_COLLISION', clash.what);
      return undefined;
    }
    return this.#findings.none ? path : undefined;
  }

  #checked(raw: string, kind: 'file' | 'directory'): string | undefined {
    const checked = checkPath(raw, kind === 'directory', this.#ground.policy.maxDepth);
    if (checked.ok) {
      return checked.path;
    }
    for (const { rule, what } of checked.breaks) {
      this.#findings.note(raw, rule, 'ARCHIVE_PATH', what);
    }
    return undefined;
  }

  #warn(text: string): void {
    this.#staged.warnings.push(text);
  }

  #directory(entry: ReadEntry): void {
    const path = this.#place(entry, 'directory');
    if (path !== undefined) {
      this.#make(path);
    }
  }

  #make(path: string): void {
    if (path === '' || this.#made.has(path)) {
      return;
    }
    this.#make(parentOf(path));
    this.#ground.disk.mkdir(`${this.#slot}/${path}`, 0o755);
    this.#made.add(path);
    this.#staged.directories.push(path);
  }

  #link(entry: ReadEntry): void {
    const rule = entry.type === 'Link' ? 41 : 34;
    if (this.#links === 'refuse') {
      const what = `it is a link to "${escape(entry.linkpath ?? '')}", and links are refused`;
      this.#findings.note(entry.path, rule, 'ARCHIVE_TYPE', what);
      return;
    }
    const path = this.#checked(entry.path, 'file');
    if (path !== undefined) {
      this.#linked.add(path);
      this.#staged.skipped.push(path);
      this.#warn(`${path} is left out: it is a link, and the agent makes none`);
    }
  }

  #file(entry: ReadEntry): void {
    const bits = entry.mode ?? 0o644;
    if ((bits & 0o6000) !== 0) {
      this.#findings.note(entry.path, 55, 'ARCHIVE_METADATA', 'it is setuid or setgid');
    }
    this.#unpacked += entry.size;
    const { maxUnpacked } = this.#ground.policy;
    if (this.#unpacked > maxUnpacked) {
      throw new Fault('LIMIT_UNPACKED', `The archive unpacks to more than ${maxUnpacked} bytes`, {
        hint: 'Leave out what the plugin does not need; the owner can raise AIRLOCK_MAX_UNPACKED',
      });
    }
    const path = this.#place(entry, 'file');
    if (path === undefined) {
      return;
    }
    this.#make(parentOf(path));
    const mode = modeOf(bits);
    const fd = this.#ground.disk.create(`${this.#slot}/${path}`, mode === '755' ? 0o755 : 0o644);
    this.#open = { path, fd, hash: createHash('sha256'), size: 0, mode };
    entry.on('data', (chunk: Buffer) => this.#guard(() => this.#data(chunk)));
    entry.on('end', () => this.#guard(() => this.#close()));
  }

  #data(chunk: Buffer): void {
    const open = this.#open;
    if (open === undefined || this.#thrown !== undefined) {
      return;
    }
    open.hash.update(chunk);
    open.size += chunk.length;
    this.#ground.disk.write(open.fd, chunk);
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined || this.#thrown !== undefined) {
      return;
    }
    this.#ground.disk.sync(open.fd);
    this.#open = undefined;
    this.#ground.disk.close(open.fd);
    const { path, size, mode } = open;
    this.#staged.files.push({ path, size, mode, sha256: open.hash.digest('hex') });
  }
}
