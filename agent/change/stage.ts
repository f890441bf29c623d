/**
 * The second step: writes the entries of the tar as files of the slot. Only regular files and directories are written, no
 * links.
 */
import { Fault } from '../../shared/api/fault.ts';
import { MARKER } from '../../shared/format/layout.ts';
import type { FileHead } from '../../shared/rule/plugin/file-head.ts';
import { type Finding, finding } from '../../shared/rule/plugin/finding.ts';
import { type FileEntry, modeOf } from '../../shared/format/tree.ts';
import { Budget } from '../archive/limits.ts';
import { type LeftOut, Links, type Tree, treeOf } from '../archive/link-rules.ts';
import { checkMetadata, ArchiveWarnings } from '../archive/metadata-rules.ts';
import { checkPath, Claims, codeOfRule, parentOf } from '../../shared/rule/path-rules.ts';
import type { TarEntry } from '../archive/tar-header.ts';
import { TarReader } from '../archive/tar-reader.ts';
import { Violations } from '../../shared/api/violations.ts';
import type { StageContext } from '../store/context.ts';
import { findTop, relativeTo } from '../../shared/rule/top.ts';
import type { DeltaFile } from '../../shared/rule/delta.ts';
import { whyRefused } from '../archive/refused-types.ts';
import type { Delta } from './delta.ts';
import { inParts } from './parts.ts';
import { bitsOf, StagedFile } from './staged-file.ts';

/** The content of a slot when the archive was read to its end. Paths are relative to the slot. */
export type Staged = {
  files: FileEntry[];
  /** Every directory in the slot, parents first. */
  directories: string[];
  /** The directory of the plugin; '' for the slot itself. */
  top: string;
  /** What was left out on purpose: ignored files, and links to nothing in the archive. Relative to the plugin. */
  skipped: string[];
  /** The links among them. */
  links: LeftOut[];
  /** What became of all links; `none`: the archive has none. */
  bundleLinks: 'none' | 'copy' | 'skip';
  /** Of files whose first bytes say something; the paths are those of the files. */
  heads: Map<string, FileHead>;
  /** What is left out or ignored. Relative to the plugin. */
  findings: Finding[];
};

/** What is said of a marker in an archive. */
export const MARKER_LEFT_OUT = 'it is left out: the agent writes its own';

const CHUNK_BYTES = 256 * 1024;

/** What happens to links: they are replaced by copies, left out, or refused. */
export type LinkPolicy = 'copy' | 'skip' | 'refuse';

/**
 * Reads a tar as a stream and writes its files below `slot`, each with O_EXCL and each made durable. After the first
 * violation it only reads, so that the refusal can name all of them.
 */
export class Stager {
  readonly #context: StageContext;
  readonly #slot: string;
  /** Identifies the slot's directory; a descriptor of it while files are written. */
  #ino: number | undefined;
  #fd: number | undefined;
  /** Files are written below this path. If the system has one, it stays valid whatever is put in the place of the slot. */
  #base: string | undefined;
  readonly #policyOfLinks: LinkPolicy;
  readonly #perFile: boolean;
  readonly #reader: TarReader;
  readonly #claims = new Claims();
  readonly #links = new Links((count) => this.#budget.steps(count));
  readonly #warnings: ArchiveWarnings;
  readonly #made = new Set<string>();
  /** Files that do not stay in the slot. No link leads to them. */
  readonly #removed = new Set<string>();
  readonly #findings = new Violations();
  readonly #staged: Staged = {
    files: [],
    directories: [],
    top: '',
    skipped: [],
    links: [],
    bundleLinks: 'none',
    heads: new Map(),
    findings: [],
  };
  readonly #budget: Budget;
  readonly #delta: Delta | undefined;
  #open: StagedFile | undefined;

  /** @param perFile whether each file is synced before it is closed. @param delta what the bundle takes from other versions. */
  constructor(context: StageContext, slot: string, links: LinkPolicy, perFile: boolean, delta?: Delta) {
    this.#perFile = perFile;
    this.#delta = delta;
    this.#context = context;
    this.#slot = slot;
    this.#policyOfLinks = links;
    this.#budget = new Budget(context.policy);
    this.#warnings = new ArchiveWarnings(context.policy.owner);
    this.#reader = new TarReader({
      entry: (entry) => this.#entry(entry),
      data: (bytes) => this.#data(bytes),
      end: () => this.#close(),
      finding: (path, rule, what) => this.#findings.note(path, rule, codeOfRule(rule), what),
    });
  }

  /** Remembers which directory the slot is, before the first byte. Nothing is written into another one. */
  begin(): void {
    const { disk } = this.#context;
    this.#fd = disk.open(this.#slot);
    this.#ino = disk.statOpen(this.#fd).ino;
    this.#base = disk.within(this.#fd);
  }

  /** The time spent on parsing and writing, in milliseconds, mostly while bytes still arrive. */
  millis = 0;

  get entries(): number {
    return this.#budget.entries;
  }

  /** Whether the end-of-archive mark has been read. */
  get ended(): boolean {
    return this.#reader.ended;
  }

  /** @throws Fault LIMIT_*, NO_SPACE, or the error of a failed call on the disk. */
  write(plain: Buffer): void {
    const start = performance.now();
    this.#budget.plain(plain.length);
    try {
      this.#reader.write(plain);
    } catch (error) {
      // Names a path that an operator can look at.
      if (error instanceof Error) error.message = error.message.replace(this.#base ?? this.#slot, this.#slot);
      throw error;
    }
    this.millis += performance.now() - start;
  }

  /**
   * Ends the archive. The files of a delta are taken before.
   *
   * @throws Fault ARCHIVE_* with all violations.
   */
  end(): Staged {
    if (this.#delta === undefined) this.#reader.end();
    const staged = this.#staged;
    const names = staged.files.map(({ path }) => path);
    staged.top = findTop(names, staged.directories, this.#links.paths);
    if (this.#policyOfLinks === 'refuse') {
      for (const { path, rule, what } of this.#links.breaks(this.#tree())) {
        this.#findings.note(path, rule, 'ARCHIVE_TYPE', what);
      }
    } else if (this.#findings.none) {
      this.#replaceLinks();
    }
    if (!this.#findings.none) {
      throw this.#findings.fault();
    }
    this.#checkSlot();
    this.#release();
    const toPlugin = (path: string): string => relativeTo(staged.top, path);
    staged.findings = [...staged.findings, ...this.#warnings.findings];
    staged.skipped = staged.skipped.map(toPlugin);
    staged.findings = staged.findings.map((one) => ({ ...one, path: toPlugin(one.path) }));
    return staged;
  }

  /** A fault that ended the reading, with all violations until then. */
  blame(fault: Fault): Fault {
    return this.#findings.added(fault);
  }

  /** Closes what is open. The caller removes the slot. */
  stop(): void {
    const open = this.#open;
    this.#open = undefined;
    try {
      if (open !== undefined) {
        this.#context.disk.close(open.fd);
      }
    } finally {
      this.#release();
    }
  }

  #release(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    this.#delta?.close();
    if (fd !== undefined) {
      this.#context.disk.close(fd);
    }
  }

  #entry(entry: TarEntry): void {
    if (this.#delta?.begins(entry) === true) return;
    this.#budget.entry();
    this.#budget.declare(entry.size);
    this.#warnings.note(entry);
    for (const { rule, what, code } of checkMetadata(entry)) {
      this.#findings.note(entry.path, rule, code, what);
    }
    switch (entry.kind) {
      case 'file':
        return this.#file(entry);
      case 'directory':
        return this.#directory(entry);
      case 'symlink':
      case 'hardlink':
        return this.#link(entry);
      case 'other': {
        const [rule, what] = whyRefused(entry.type);
        return this.#findings.note(entry.path, rule, 'ARCHIVE_TYPE', what);
      }
      default:
        return entry.kind satisfies never;
    }
  }

  /** The clean path of an entry that belongs in the tree; undefined if it is refused or left out. */
  #place(entry: Pick<TarEntry, 'path' | 'prefix'>, kind: 'file' | 'directory'): string | undefined {
    const path = this.#checked(entry, kind);
    if (path === undefined || path === '') {
      return undefined;
    }
    const throughLink = this.#links.above(path);
    if (throughLink !== undefined) {
      this.#findings.note(path, 38, 'ARCHIVE_TYPE', `it leads through the link "${throughLink}"`);
      return undefined;
    }
    if (path === MARKER && kind === 'file') {
      this.#remark(path, MARKER_LEFT_OUT);
      return undefined;
    }
    // The slash marks a directory: patterns for files do not apply to it.
    if (this.#context.ignore(kind === 'directory' ? `${path}/` : path)) {
      this.#leaveOut(path);
      return undefined;
    }
    const clash = this.#claims.claim(path, kind, kind === 'directory' ? path : entry.path);
    if (clash !== undefined) {
      this.#findings.note(path, clash.rule, 'ARCHIVE_COLLISION', clash.what);
      return undefined;
    }
    return path;
  }

  #checked(
    { path, prefix }: Pick<TarEntry, 'path' | 'prefix'>,
    kind: 'file' | 'directory',
  ): string | undefined {
    const checked = checkPath(path, kind === 'directory', this.#context.policy.maxDepth);
    if (checked.ok) {
      return checked.path;
    }
    const climbs = prefix.split('/').includes('..');
    for (const { rule, what } of checked.breaks) {
      const said = rule <= 3 && climbs ? 11 : rule;
      this.#findings.note(path, said, 'ARCHIVE_PATH', what);
    }
    return undefined;
  }

  #leaveOut(path: string): void {
    this.#staged.skipped.push(path);
    this.#remark(path, 'it is left out: it is not part of a plugin');
  }

  #remark(path: string, message: string): void {
    this.#staged.findings.push(finding('archive-remark', path, message));
  }

  #directory(entry: TarEntry): void {
    const path = this.#place(entry, 'directory');
    if (path !== undefined && this.#findings.none) {
      this.#make(path, true);
    }
  }

  /** Only the agent may touch its slot: another entry in its place could lead anywhere. */
  #checkSlot(): void {
    const stat = this.#context.disk.stat(this.#slot);
    if (stat?.kind !== 'directory' || stat.ino !== this.#ino) {
      throw new Fault('INTERNAL', `The staging directory ${this.#slot} was replaced meanwhile`, {
        hint: 'Find the process that writes below .staging: only the agent may write there',
      });
    }
  }

  /** Where to create an entry. Without a path that stays valid, the slot is checked each time. */
  #placeOf(path: string): string {
    if (this.#base === undefined) this.#checkSlot();
    return `${this.#base ?? this.#slot}/${path}`;
  }

  /** Makes a directory and those above it. A directory without an entry of its own counts like one with an entry. */
  #make(path: string, named: boolean): void {
    if (path === '' || this.#made.has(path)) {
      return;
    }
    this.#make(parentOf(path), false);
    if (!named) this.#budget.entry();
    this.#context.disk.mkdir(this.#placeOf(path), 0o755);
    this.#made.add(path);
    this.#staged.directories.push(path);
  }

  #link(entry: TarEntry): void {
    if (this.#policyOfLinks !== 'refuse') this.#staged.bundleLinks = this.#policyOfLinks;
    const path = this.#place(entry, 'file');
    if (path !== undefined || this.#policyOfLinks === 'refuse') {
      const link = { target: entry.target, hard: entry.kind === 'hardlink' };
      this.#links.add(path ?? entry.path, link, (target) => this.#claims.kindOf(target) === 'file');
    }
  }

  #tree(): Tree {
    const { files, directories } = this.#staged;
    return treeOf([...directories, ...files.map(({ path }) => path)], (path) =>
      this.#removed.has(path) ? undefined : this.#claims.kindOf(path),
    );
  }

  /** Replaces links by copies. The copies count like entries of the archive. */
  #replaceLinks(): void {
    const start = performance.now();
    const staged = this.#staged;
    // It is left out later, as the one at the root of an archive without a top directory is at once.
    this.#removed.add(`${staged.top}/${MARKER}`);
    const { copies, left } =
      this.#policyOfLinks === 'skip'
        ? { copies: [], left: this.#links.leaveAll() }
        : this.#links.plan(this.#tree(), { ...this.#context.policy, top: staged.top });
    const files = new Map(staged.files.map((file) => [file.path, file]));
    // All are counted and checked before the first is written.
    for (const copy of copies) {
      this.#budget.entry();
      if (copy.kind === 'file') this.#budget.declare(files.get(copy.from)?.size ?? 0);
      this.#checked({ path: copy.path, prefix: '' }, copy.kind);
    }
    for (const { path, rule, what } of left) {
      if (!this.#links.has(path)) this.#budget.entry();
      staged.links.push({ path, rule, what });
      staged.skipped.push(path);
      staged.findings.push(finding('left-out', path, `it is left out: ${what} (rule ${rule})`));
    }
    const written = this.#findings.none ? copies : [];
    const buffer = written.length === 0 ? Buffer.alloc(0) : Buffer.allocUnsafe(CHUNK_BYTES);
    for (const copy of written) {
      const source = copy.kind === 'file' ? files.get(copy.from) : undefined;
      if (source === undefined) {
        this.#make(copy.path, true);
      } else {
        this.#copy(copy.path, source, buffer);
      }
    }
    this.millis += performance.now() - start;
  }

  #copy(path: string, source: FileEntry, buffer: Buffer): void {
    const { disk } = this.#context;
    this.#make(parentOf(path), false);
    const from = disk.open(this.#placeOf(source.path));
    try {
      const fd = disk.create(this.#placeOf(path), bitsOf(source.mode));
      this.#open = new StagedFile(path, fd, source);
      for (let count = disk.read(from, buffer); count > 0; count = disk.read(from, buffer)) {
        this.#data(buffer.subarray(0, count));
      }
      this.#close();
    } finally {
      disk.close(from);
    }
  }

  #file(entry: TarEntry): void {
    const path = this.#place(entry, 'file');
    if (path === undefined || !this.#findings.none) {
      return;
    }
    this.#make(parentOf(path), false);
    const mode = modeOf(entry.mode);
    const fd = this.#context.disk.create(this.#placeOf(path), bitsOf(mode));
    this.#open = new StagedFile(path, fd, { size: entry.size, mode });
  }

  /**
   * Ends the archive of a delta, and takes the files that the agent has, under the rules and limits for entries of an archive.
   *
   * @param rest called between parts of the work that take a moment each. It may throw, to end it.
   * @throws Fault CONFLICT for a file that is not as it was installed; LIMIT_*, NO_SPACE.
   */
  async takeFiles(rest: () => Promise<void>): Promise<void> {
    const delta = this.#delta;
    if (delta === undefined) return;
    this.#reader.end();
    if (!this.#findings.none) return;
    const placed: { path: string; file: DeltaFile }[] = [];
    // All are counted and checked before the first is written.
    for (const file of delta.files()) {
      this.#budget.entry();
      this.#budget.declare(file.size);
      const path = this.#place({ path: file.path, prefix: '' }, 'file');
      if (path !== undefined) placed.push({ path, file });
    }
    const written = this.#findings.none ? placed : [];
    const buffer = Buffer.allocUnsafe(written.length === 0 ? 0 : CHUNK_BYTES);
    const spend = inParts(rest);
    const start = performance.now();
    for (const { path, file } of written) {
      await spend('file');
      await this.#take(delta, path, file, buffer, spend);
    }
    this.millis += performance.now() - start;
  }

  async #take(
    delta: Delta,
    path: string,
    file: DeltaFile,
    buffer: Buffer,
    spend: ReturnType<typeof inParts>,
  ): Promise<void> {
    const { disk } = this.#context;
    this.#make(parentOf(path), false);
    const source = delta.open(file);
    try {
      const to = this.#placeOf(path);
      const bits = bitsOf(file.mode);
      const isClone = delta.clone(source, to, bits);
      const fd = isClone ? disk.open(to) : disk.create(to, bits);
      this.#open = new StagedFile(path, fd, file, isClone);
      if (isClone) delta.checkClone(file, fd);
      // What was cloned cannot change any more, so the clone is read and not its source.
      for (let left = file.size; left > 0;) {
        const count = delta.read(file, isClone ? fd : source, buffer.subarray(0, left));
        if (count === 0) break;
        this.#data(buffer.subarray(0, count));
        left -= count;
        await spend(count);
      }
      this.#close();
      delta.check(file, this.#staged.files.at(-1));
    } finally {
      disk.close(source);
    }
  }

  #data(chunk: Buffer): void {
    const open = this.#open;
    if (open === undefined) {
      this.#delta?.data(chunk);
      return;
    }
    this.#budget.write(chunk.length);
    open.add(chunk);
    if (!open.isWritten) this.#context.disk.write(open.fd, chunk);
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) {
      this.#delta?.end();
      return;
    }
    if (this.#perFile) this.#context.disk.sync(open.fd);
    this.#open = undefined;
    this.#context.disk.close(open.fd);
    const { path } = open;
    if (open.isAppleDouble) {
      this.#context.disk.unlink(this.#placeOf(path));
      this.#removed.add(path);
      this.#leaveOut(path);
      return;
    }
    if (open.head !== undefined) this.#staged.heads.set(path, open.head);
    this.#staged.files.push(open.end());
  }
}
