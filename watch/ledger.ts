/** What lies in one plugin now, and how that differs from what the runtime has loaded. Pure. */
import { basename, dirname } from 'node:path';

import type { FileEntry, Reason } from '../shared/format/tree.ts';
import { type Verdict, classify } from '../shared/rule/classify.ts';
import type { Seen } from './look.ts';

const isOdd = (seen: Seen | undefined): seen is Extract<Seen, { odd: string }> =>
  seen !== undefined && 'odd' in seen;

function isSame(a: Seen | undefined, b: Seen | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (isOdd(a) || isOdd(b)) return isOdd(a) && isOdd(b) && a.odd === b.odd && a.sign === b.sign;
  return a.sha256 === b.sha256 && a.mode === b.mode && a.size === b.size;
}

/** Only the differences are compared, so that one file of ten thousand costs as much as one of ten. */
export class Ledger {
  readonly #now = new Map<string, Seen>();
  /** Of each path that differs: what is loaded; undefined for nothing. */
  readonly #pending = new Map<string, Seen | undefined>();
  /** Of the paths that differ: those at which something of this version lay, until it was removed by hand. */
  readonly #removed = new Set<string>();
  #hasLoaded = false;

  get(path: string): Seen | undefined {
    return this.#now.get(path);
  }

  /** Notes what lies at a path now; says whether that is news. */
  set(path: string, seen: Seen | undefined): boolean {
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

  /** Another version lies there: what is not in it nobody has removed by hand. */
  renew(): void {
    this.#removed.clear();
  }

  /** Notes all that lies below a directory ('' for the whole tree): what is not among it is gone. */
  replace(directory: string, seen: readonly Seen[]): boolean {
    const prefix = directory === '' ? '' : `${directory}/`;
    const found = new Set(seen.map(({ path }) => path));
    let news = !found.has(directory) && this.set(directory, undefined);
    for (const path of this.#now.keys()) {
      if (path.startsWith(prefix) && !found.has(path)) news = this.set(path, undefined) || news;
    }
    for (const one of seen) news = this.set(one.path, one) || news;
    return news;
  }

  /** Whether just these files lie there now. */
  holds(files: readonly FileEntry[]): boolean {
    return files.length === this.#now.size && files.every((file) => isSame(this.#now.get(file.path), file));
  }

  /** What is loaded: these files, or what lies there now. */
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

  /** Nobody knows what is loaded. */
  unload(): void {
    this.#pending.clear();
    this.#removed.clear();
    this.#hasLoaded = false;
  }

  /** The paths at which something else lies than what is loaded. */
  differing(): string[] {
    return [...this.#pending.keys()];
  }

  /** Those of the differing paths at which these files lie, or, as in their list, none. */
  among(files: readonly FileEntry[] | undefined): string[] {
    if (files === undefined) return [];
    const listed = new Map(files.map((file) => [file.path, file]));
    return this.differing().filter(
      (path) => isSame(this.#now.get(path), listed.get(path)) && !this.#removed.has(path),
    );
  }

  /** What lies at these paths now is loaded, and nothing else that differs. */
  accept(paths: readonly string[]): void {
    this.#hasLoaded = true;
    for (const path of paths) {
      this.#pending.delete(path);
      this.#removed.delete(path);
    }
  }

  /** The verdict on what lies there now; `isThere` false: nothing that may be loaded does. */
  judge(isThere: boolean, hotReload: boolean | undefined): Verdict {
    if (!isThere || !this.#hasLoaded) {
      return classify(this.#hasLoaded ? [] : undefined, isThere ? [] : undefined);
    }
    const before: FileEntry[] = [];
    const after: FileEntry[] = [];
    const odd: Reason[] = [];
    for (const [path, was] of this.#pending) {
      const is = this.#now.get(path);
      if (isOdd(was) || isOdd(is)) {
        const why = isOdd(is) ? is.odd : 'it was not a readable file before';
        odd.push({ path, change: change(was, is), why });
        continue;
      }
      if (was !== undefined) before.push(was);
      if (is !== undefined) after.push(is);
    }
    const { kind, reasons } = classify(before, after, hotReload === undefined ? {} : { hotReload });
    const strange = odd.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    return { kind: odd.length > 0 ? 'cold' : kind, reasons: [...strange, ...reasons] };
  }

  /** The directories of the skills in which something differs. */
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

function change(was: Seen | undefined, is: Seen | undefined): Reason['change'] {
  if (was === undefined) return 'added';
  return is === undefined ? 'removed' : 'modified';
}
