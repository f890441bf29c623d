/** The files of one live plugin, and how they differ from what the runtime has loaded. Pure. */
import { basename, dirname } from 'node:path';

import type { FileEntry, Reason } from '../shared/format/tree.ts';
import { type Verdict, classify } from '../shared/rule/classify.ts';
import type { LiveEntry } from './read-path.ts';

const isIrregular = (seen: LiveEntry | undefined): seen is Extract<LiveEntry, { irregular: string }> =>
  seen !== undefined && 'irregular' in seen;

function isSame(a: LiveEntry | undefined, b: LiveEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (isIrregular(a) && isIrregular(b)) return a.irregular === b.irregular && a.fingerprint === b.fingerprint;
  if (isIrregular(a) || isIrregular(b)) return false;
  return a.sha256 === b.sha256 && a.mode === b.mode && a.size === b.size;
}

/** Only differences are compared, so one change among ten thousand files costs as much as one among ten. */
export class LoadedDiff {
  readonly #now = new Map<string, LiveEntry>();
  /** For each path that differs: the loaded entry; undefined for none. */
  readonly #pending = new Map<string, LiveEntry | undefined>();
  /** The differing paths whose entry in this version was removed by hand. */
  readonly #removed = new Set<string>();
  #hasLoaded = false;

  get(path: string): LiveEntry | undefined {
    return this.#now.get(path);
  }

  /** Sets the entry that is at a path now. @returns whether it has changed. */
  set(path: string, seen: LiveEntry | undefined): boolean {
    const before = this.#now.get(path);
    if (isSame(before, seen)) return false;
    if (!this.#pending.has(path)) this.#pending.set(path, before);
    if (isSame(this.#pending.get(path), seen)) this.#pending.delete(path);
    if (seen === undefined && this.#pending.has(path)) this.#removed.add(path);
    else this.#removed.delete(path);
    if (seen === undefined) this.#now.delete(path);
    else this.#now.set(path, seen);
    return true;
  }

  /** Another version is live: no path of it was removed by hand yet. */
  renew(): void {
    this.#removed.clear();
  }

  /**
   * Sets all entries below a directory ('' for the whole tree) and removes the others. @returns whether anything has
   * changed.
   */
  replace(directory: string, seen: readonly LiveEntry[]): boolean {
    const prefix = directory === '' ? '' : `${directory}/`;
    const found = new Set(seen.map(({ path }) => path));
    let isChanged = !found.has(directory) && this.set(directory, undefined);
    for (const path of this.#now.keys()) {
      if (path.startsWith(prefix) && !found.has(path)) isChanged = this.set(path, undefined) || isChanged;
    }
    for (const one of seen) isChanged = this.set(one.path, one) || isChanged;
    return isChanged;
  }

  /** Whether the live files are exactly these. */
  holds(files: readonly FileEntry[]): boolean {
    return files.length === this.#now.size && files.every((file) => isSame(this.#now.get(file.path), file));
  }

  /** Sets what is loaded: these files, or the live ones. */
  load(files?: readonly FileEntry[]): void {
    this.#pending.clear();
    this.#removed.clear();
    this.#hasLoaded = true;
    if (files === undefined) return;
    const loaded = new Map(files.map((file) => [file.path, file]));
    for (const [path, is] of this.#now) {
      const was = loaded.get(path);
      if (!isSame(was, is)) this.#pending.set(path, was);
    }
    for (const file of files) {
      if (!this.#now.has(file.path)) this.#pending.set(file.path, file);
    }
  }

  /** What is loaded is not known. */
  unload(): void {
    this.#pending.clear();
    this.#removed.clear();
    this.#hasLoaded = false;
  }

  /** The paths whose live entry differs from the loaded one. */
  differing(): string[] {
    return [...this.#pending.keys()];
  }

  /** Those of the differing paths at which the live entry is as in this list (or absent as in the list). */
  among(files: readonly FileEntry[] | undefined): string[] {
    if (files === undefined) return [];
    const listed = new Map(files.map((file) => [file.path, file]));
    return this.differing().filter(
      (path) => isSame(this.#now.get(path), listed.get(path)) && !this.#removed.has(path),
    );
  }

  /** The live entries at these paths are loaded. The other differences stay. */
  accept(paths: readonly string[]): void {
    this.#hasLoaded = true;
    for (const path of paths) {
      this.#pending.delete(path);
      this.#removed.delete(path);
    }
  }

  /** The verdict on the live files. @param isThere false if there is no live plugin that may be loaded. */
  judge(isThere: boolean, hotReload: boolean | undefined): Verdict {
    if (!isThere || !this.#hasLoaded) {
      return classify(this.#hasLoaded ? [] : undefined, isThere ? [] : undefined);
    }
    const before: FileEntry[] = [];
    const after: FileEntry[] = [];
    const irregular: Reason[] = [];
    for (const [path, was] of this.#pending) {
      const is = this.#now.get(path);
      if (isIrregular(was) || isIrregular(is)) {
        const why = isIrregular(is) ? is.irregular : 'it was not a readable file before';
        irregular.push({ path, change: change(was, is), why });
        continue;
      }
      if (was !== undefined) before.push(was);
      if (is !== undefined) after.push(is);
    }
    const { kind, reasons } = classify(before, after, hotReload === undefined ? {} : { hotReload });
    const strange = irregular.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    return { kind: irregular.length > 0 ? 'cold' : kind, reasons: [...strange, ...reasons] };
  }

  /** The directories of the skills that differ. */
  skills(): string[] {
    const found = new Set<string>();
    for (const path of this.#pending.keys()) {
      const skill = this.#skillOf(path);
      if (skill !== undefined) found.add(skill);
    }
    return [...found].toSorted();
  }

  #skillOf(path: string): string | undefined {
    let directory = path;
    while (directory !== '') {
      const above = dirname(directory);
      directory = above === '.' ? '' : above;
      const skill = directory === '' ? 'SKILL.md' : `${directory}/SKILL.md`;
      if (this.#now.has(skill) || this.#pending.has(skill)) return directory;
    }
    return basename(path) === 'SKILL.md' ? '' : undefined;
  }
}

function change(was: LiveEntry | undefined, is: LiveEntry | undefined): Reason['change'] {
  if (was === undefined) return 'added';
  return is === undefined ? 'removed' : 'modified';
}
