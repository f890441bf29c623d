/** The second step: entries of the tar become files of the slot. Regular files and directories; nothing else lands. */
import { type Hash, createHash } from 'node:crypto';

import { Parser, type ReadEntry } from 'tar';

import { MARKER } from '../../shared/layout.ts';
import { type FileEntry, modeOf } from '../../shared/tree.ts';
import { Blocks, paxTrouble } from './blocks.ts';
import { Budget } from './budget.ts';
import { Claims, checkPath, parentOf, parentsOf } from './entry.ts';
import { Findings, escape } from './findings.ts';
import type { Ground } from './ground.ts';
import { whyRefused } from './refused-types.ts';
import { corrupt } from './unpack.ts';

/** What lies in a slot once the archive has been read to its end. Paths are relative to the slot. */
export type Staged = {
  files: FileEntry[];
  /** Every directory but the slot itself, parents first. */
  directories: string[];
  skipped: string[];
  warnings: string[];
};

type Open = { path: string; fd: number; hash: Hash; size: number; mode: FileEntry['mode'] };

/**
 * Reads a tar as it comes and writes its files, each with O_EXCL and each made durable, below `slot`, until the first
 * violation; from there on it only looks, so that the refusal can name all of them.
 */
export class Stager {
  readonly #ground: Ground;
  readonly #slot: string;
  readonly #links: 'skip' | 'refuse';
  readonly #perFile: boolean;
  readonly #parser: Parser;
  readonly #claims = new Claims();
  readonly #linked = new Set<string>();
  readonly #made = new Set<string>();
  readonly #findings = new Findings();
  readonly #staged: Staged = { files: [], directories: [], skipped: [], warnings: [] };
  readonly #budget: Budget;
  readonly #blocks = new Blocks();
  #ended = false;
  #open: Open | undefined;
  /** Thrown inside a callback of the parser, which might swallow it: kept, and thrown again by {@link write}. */
  #thrown: Error | undefined;

  constructor(ground: Ground, slot: string, links: 'skip' | 'refuse', perFile: boolean) {
    this.#perFile = perFile;
    this.#ground = ground;
    this.#slot = slot;
    this.#links = links;
    this.#budget = new Budget(ground.policy);
    // The bytes are plain already: the parser must not look for a compression of its own.
    this.#parser = new Parser({ zstd: false, brotli: false, strict: false, maxDecompressionRatio: Infinity });
    this.#parser.on('entry', (entry: ReadEntry) => this.#guard(() => this.#entry(entry)));
    this.#parser.on('ignoredEntry', (entry: ReadEntry) => this.#guard(() => this.#ignored(entry)));
    this.#parser.on('warn', (code: string, message: unknown) =>
      this.#guard(() => this.#warned(code, String(message))),
    );
    this.#parser.on('meta', (text: string) => this.#guard(() => this.#meta(text)));
    this.#parser.on('eof', () => {
      this.#ended = true;
    });
  }

  /** Time spent parsing and writing, in milliseconds: most of it while bytes still come in. */
  millis = 0;

  get entries(): number {
    return this.#budget.entries;
  }

  /** @throws Fault LIMIT_*, ARCHIVE_CORRUPT, NO_SPACE, or the error of a failed call on the disk. */
  write(plain: Buffer): void {
    const start = performance.now();
    this.#guard(() => {
      this.#budget.plain(plain.length);
      if (!this.#ended) {
        this.#parser.write(this.#blocks.push(plain));
      } else if (plain.some((byte) => byte !== 0)) {
        // The parser would keep whatever follows in memory.
        throw corrupt('it goes on after its end-of-archive mark');
      }
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
    this.#guard(() => this.#parser.end(this.#blocks.rest()));
    this.#rethrow();
    if (!this.#findings.none) {
      throw this.#findings.fault();
    }
    if (!this.#ended) {
      throw corrupt('it stops without an end-of-archive mark');
    }
    if (this.entries === 0) {
      throw corrupt('it is empty');
    }
    return this.#staged;
  }

  /** Closes what is open. The slot itself is the caller's to remove. */
  stop(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) {
      this.#ground.disk.close(open.fd);
    }
  }

  /** After the first thing that was thrown nothing more is done, though the parser goes on to the end of its piece. */
  #guard(run: () => void): void {
    try {
      if (this.#thrown === undefined) {
        run();
      }
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

  #meta(text: string): void {
    const trouble = paxTrouble(text);
    if (trouble !== undefined) {
      this.#findings.note(trouble.path, trouble.rule, trouble.code, trouble.what);
    }
  }

  /** The parser passes over what it does not know; Airlock refuses it. */
  #ignored(entry: ReadEntry): void {
    this.#budget.entry();
    this.#refuseType(entry);
  }

  #refuseType(entry: ReadEntry): void {
    const [rule, what] = whyRefused(entry.type);
    this.#findings.note(entry.path, rule, 'ARCHIVE_TYPE', what);
  }

  #entry(entry: ReadEntry): void {
    this.#budget.entry();
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

  /** The clean path of an entry that has a place in the tree, or undefined if it is refused or left out. */
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
    if (path === MARKER && kind === 'file') {
      this.#warn(`${MARKER} of the archive is left out: the agent writes its own`);
      return undefined;
    }
    // Patterns for files do not apply to directories, which hashing a tree walks into: the slash says what it is.
    if (this.#ground.ignore(kind === 'directory' ? `${path}/` : path)) {
      this.#staged.skipped.push(path);
      this.#warn(`${path} is left out: it is no part of a plugin`);
      return undefined;
    }
    const clash = this.#claims.claim(path, kind, kind === 'directory' ? path : entry.path);
    if (clash !== undefined) {
      this.#findings.note(path, clash.rule, 'ARCHIVE_COLLISION', clash.what);
      return undefined;
    }
    return path;
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
    if (path !== undefined && this.#findings.none) {
      this.#make(path, true);
    }
  }

  /** Makes a directory and those above it; one that no entry names costs as much as one that an entry names. */
  #make(path: string, named: boolean): void {
    if (path === '' || this.#made.has(path)) {
      return;
    }
    this.#make(parentOf(path), false);
    if (!named) this.#budget.entry();
    this.#ground.disk.mkdir(`${this.#slot}/${path}`, 0o755);
    this.#made.add(path);
    this.#staged.directories.push(path);
  }

  #link(entry: ReadEntry): void {
    if (this.#links === 'refuse') {
      const target = escape((entry.linkpath ?? '').slice(0, 300));
      const rule = entry.type === 'Link' ? 41 : 34;
      this.#findings.note(
        entry.path,
        rule,
        'ARCHIVE_TYPE',
        `it is a link to "${target}", and links are refused`,
      );
    }
    const path = this.#place(entry, 'file');
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
    this.#budget.declare(entry.size);
    const path = this.#place(entry, 'file');
    if (path === undefined || !this.#findings.none) {
      return;
    }
    this.#make(parentOf(path), false);
    const mode = modeOf(bits);
    const fd = this.#ground.disk.create(`${this.#slot}/${path}`, mode === '755' ? 0o755 : 0o644);
    this.#open = { path, fd, hash: createHash('sha256'), size: 0, mode };
    entry.on('data', (chunk: Buffer) => this.#guard(() => this.#data(chunk)));
    entry.on('end', () => this.#guard(() => this.#close()));
  }

  #data(chunk: Buffer): void {
    const open = this.#open;
    if (open === undefined) {
      return;
    }
    this.#budget.write(chunk.length);
    open.hash.update(chunk);
    open.size += chunk.length;
    this.#ground.disk.write(open.fd, chunk);
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) {
      return;
    }
    if (this.#perFile) this.#ground.disk.sync(open.fd);
    this.#open = undefined;
    this.#ground.disk.close(open.fd);
    const { path, size, mode } = open;
    this.#staged.files.push({ path, size, mode, sha256: open.hash.digest('hex') });
  }
}
