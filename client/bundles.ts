/** The bundles in a directory, found by what a plugin is declared as. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { Fault } from '../shared/api/fault.ts';
import { type Declared, LOCK_FILE } from '../shared/format/lock-file.ts';
import { type Bundle, measureBundle, openBundle } from './bundle.ts';
import { readLock } from './lock-file.ts';

type Measured = { file: string; size: number; sha256: string };

/** The bundle files (`*.tgz`, `*.tar.gz`) of a directory, by name. @throws Fault INVALID_PARAMS */
export async function bundleFiles(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => /\.(?:tgz|tar\.gz)$/.test(name))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    throw new Fault(
      'INVALID_PARAMS',
      `The directory of bundles cannot be read: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'Name a directory that holds bundles (*.tgz)',
      },
    );
  }
}

/** The plugins that the lock file in a directory of bundles names; undefined if there is none. @throws Fault INVALID_PARAMS */
export async function lockedIn(directory: string): Promise<Declared[] | undefined> {
  try {
    return await readLock(join(directory, LOCK_FILE));
  } catch (error) {
    if (error instanceof Fault && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Finds bundles by their digests. Each file is read once, when the first bundle is wanted. */
export class Bundles {
  readonly #directory: string;
  readonly #files: readonly string[];
  #measured: Promise<Measured[]> | undefined;
  readonly #found = new Set<string>();
  /** The plugin that is in a file; undefined if no manifest in it says one. */
  readonly #names = new Map<string, Promise<string | undefined>>();

  private constructor(directory: string, files: readonly string[]) {
    this.#directory = directory;
    this.#files = files;
  }

  /** @throws Fault INVALID_PARAMS if the directory cannot be read. */
  static async open(directory: string): Promise<Bundles> {
    return new Bundles(directory, await bundleFiles(directory));
  }

  /**
   * The bundle of a declared plugin; undefined if there is none. Without a declared bundle it is one whose manifest has the
   * name, and the agent compares its tree with the declared one.
   *
   * @throws Fault CONFLICT if several files hold a plugin of which only the tree is declared.
   */
  async find({ name, bundle, tree }: Declared): Promise<Bundle | undefined> {
    const measured = await (this.#measured ??= this.#measure());
    const found =
      bundle === undefined
        ? this.#onlyOne(name, await this.#named(name, measured))
        : measured.find(({ sha256 }) => bundle === `sha256:${sha256}`);
    if (found === undefined) return undefined;
    this.#found.add(found.file);
    return { plugin: name, ...found, ...(tree === undefined ? {} : { tree }) };
  }

  /** Why there is no bundle of a declared plugin. */
  async missing(declared: Declared): Promise<Fault> {
    const { name, bundle = 'another' } = declared;
    const [other] = await this.#named(name, await (this.#measured ??= this.#measure()));
    return other === undefined
      ? new Fault('NOT_FOUND', `There is no bundle of "${name}" in "${this.#directory}"`, {
          hint: 'Put it there, or declare a source from which it can be pulled',
        })
      : new Fault(
          'DIGEST_MISMATCH',
          `"${basename(other.file)}" holds "${name}" and has the sha256 ${other.sha256}, but ${bundle} is declared`,
          { hint: 'Put the declared bundle there, or declare this one' },
        );
  }

  /** The files that nobody has found. */
  get others(): string[] {
    return this.#files.filter((file) => !this.#found.has(file));
  }

  /** A file that cannot be read is none of those that are wanted. */
  async #measure(): Promise<Measured[]> {
    const measured: Measured[] = [];
    for (const file of this.#files) {
      const found = await measureBundle(file).catch(() => undefined);
      if (found !== undefined) measured.push({ file, size: found.size, sha256: found.sha256 });
    }
    return measured;
  }

  async #named(name: string, measured: readonly Measured[]): Promise<Measured[]> {
    const named: Measured[] = [];
    for (const one of measured) {
      if ((await this.#nameOf(one.file)) === name) named.push(one);
    }
    return named;
  }

  #nameOf(file: string): Promise<string | undefined> {
    const known = this.#names.get(file);
    if (known !== undefined) return known;
    const name = openBundle(file).then(
      ({ plugin }) => plugin,
      () => undefined,
    );
    this.#names.set(file, name);
    return name;
  }

  #onlyOne(name: string, named: readonly Measured[]): Measured | undefined {
    const [first, second] = named;
    if (first !== undefined && second !== undefined) {
      const files = `"${basename(first.file)}" and "${basename(second.file)}"`;
      throw new Fault('CONFLICT', `${files} both hold "${name}", whose bundle is not declared`, {
        hint: 'Leave one of them in the directory, or declare the bundle',
      });
    }
    return first;
  }
}
