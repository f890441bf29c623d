/** Fetches an installed version as a bundle, and checks that it is whole. */
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { Parser, type ReadEntry } from 'tar';

import type { Caller } from '../shared/api/caller.ts';
import { Fault } from '../shared/api/fault.ts';
import type { Result } from '../shared/api/methods.ts';
import { type FileEntry, modeOf, treeDigest } from '../shared/format/tree.ts';
import { unlessAborted } from './abort.ts';
import { checkOutFile } from './out-file.ts';
import { systemFault } from './temporary.ts';

export type ExportOptions = {
  /** The file to write, or a stream, which is not ended. Bytes in a stream cannot be taken back if the export fails. */
  to: string | Writable;
  /** Replace an existing file. */
  overwrite?: boolean | undefined;
  /** The installId of a version, live or a snapshot; absent: what is live. */
  version?: string | undefined;
  /** Export what is there, also with files that were edited in place. */
  drifted?: boolean | undefined;
  /** Ends the export at once. */
  signal?: AbortSignal | undefined;
};

/** A version that was exported. */
export type Exported = Omit<Result<'plugin.export'>, 'stream'> & {
  /** The size of the bundle. */
  size: number;
  /** The digest of the bundle, in hex. */
  sha256: string;
};

/**
 * Writes an installed version as a `.tgz`. The same tree gives the same bytes, which are those of `packDirectory` for these
 * files. A file appears under its name when all of it has come and has the announced tree digest.
 *
 * @throws Fault NOT_FOUND; CONFLICT if there is a file already or the plugin was edited in place; DIGEST_MISMATCH if what
 *   came is not the announced tree; UNREACHABLE; CANCELLED; INVALID_PARAMS, NO_SPACE if it cannot be written.
 *
 * @example await exportPlugin(session, 'lint', { to: './lint.tgz' });
 */
export async function exportPlugin(
  caller: Caller,
  plugin: string,
  { to, overwrite, ...options }: ExportOptions,
): Promise<Exported> {
  if (typeof to !== 'string') {
    return fetchInto(caller, plugin, to, options);
  }
  await checkOutFile(to, overwrite === true);
  const temporary = join(dirname(to), `.${basename(to)}.${randomUUID()}.tmp`);
  try {
    // It exists before anything can fail: a file that is opened later would stay.
    const file = (await open(temporary, 'wx')).createWriteStream();
    const written = finished(file);
    written.catch(() => undefined);
    const exported = await fetchInto(caller, plugin, file, options).finally(() => file.end());
    await written;
    await syncFile(temporary);
    await checkOutFile(to, overwrite === true);
    await rename(temporary, to);
    return exported;
  } catch (error) {
    // The first failure counts, also if the disk lets nothing be removed any more.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw systemFault(error, `Writing "${to}"`);
  }
}

async function fetchInto(
  caller: Caller,
  plugin: string,
  to: Writable,
  { version, drifted, signal }: Pick<ExportOptions, 'version' | 'drifted' | 'signal'>,
): Promise<Exported> {
  const params = {
    plugin,
    ...(version === undefined ? {} : { version }),
    ...(drifted === undefined ? {} : { drifted }),
  };
  const { stream, ...answer } = await caller.call('plugin.export', params, { signal });
  if (stream === undefined) {
    throw new Fault('INTERNAL', `The agent announces no bytes of "${plugin}"`);
  }
  const hash = createHash('sha256');
  const reader = new TreeReader();
  let size = 0;
  for await (const bytes of untilAborted(caller.receive(stream), plugin, signal)) {
    hash.update(bytes);
    size += bytes.length;
    await reader.write(bytes);
    await writeTo(to, bytes, plugin, signal);
  }
  const files = await reader.end();
  const tree = treeDigest(files);
  if (tree !== answer.tree || files.length !== answer.files) {
    throw new Fault(
      'DIGEST_MISMATCH',
      `What came has the tree digest ${tree}, but ${answer.tree} was announced`,
      {
        hint: 'Export it again',
      },
    );
  }
  return { ...answer, size, sha256: hash.digest('hex') };
}

/** The same bytes, until the signal is aborted, also while none come. @throws Fault CANCELLED */
async function* untilAborted(
  stream: AsyncIterable<Uint8Array>,
  plugin: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const bytes = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessAborted(bytes.next(), signal, exporting(plugin));
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: a reader that waits for bytes ends only when some come, or with the connection.
    bytes.return?.().catch(() => undefined);
  }
}

const exporting = (plugin: string): string => `The export of "${plugin}"`;

/** Resolves when there is room for more. @throws the error of the stream; Fault CANCELLED */
async function writeTo(
  to: Writable,
  bytes: Uint8Array,
  plugin: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (to.errored !== null) throw to.errored;
  if (!to.write(bytes)) await unlessAborted(once(to, 'drain'), signal, exporting(plugin));
}

/** Lists and hashes the files of a bundle while it goes by. */
class TreeReader {
  readonly #files: FileEntry[] = [];
  readonly #parser: Parser;
  #bad: unknown;

  constructor() {
    this.#parser = new Parser({ strict: true, onReadEntry: (entry) => this.#entry(entry) });
    this.#parser.on('error', (error: unknown) => {
      this.#bad ??= error;
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    const isFull = !this.#parser.write(Buffer.from(bytes));
    this.#check();
    if (isFull) await this.#event('drain');
    this.#check();
  }

  async end(): Promise<readonly FileEntry[]> {
    const ended = this.#event('end');
    this.#parser.end();
    await ended;
    this.#check();
    return this.#files;
  }

  /** Resolves also when the parser fails, after which there is no such event. */
  #event(name: 'drain' | 'end'): Promise<void> {
    return new Promise((resolve) => {
      this.#parser.once(name, () => resolve());
      this.#parser.once('error', () => resolve());
    });
  }

  #entry(entry: ReadEntry): void {
    if (entry.type === 'Directory') {
      entry.resume();
      return;
    }
    const hash = createHash('sha256');
    let size = 0;
    entry.on('data', (part: Buffer) => {
      hash.update(part);
      size += part.length;
    });
    entry.on('end', () => {
      const { path, mode = 0 } = entry;
      this.#files.push({ path, size, mode: modeOf(mode), sha256: hash.digest('hex') });
    });
  }

  #check(): void {
    if (this.#bad !== undefined) {
      throw new Fault('ARCHIVE_CORRUPT', 'What came cannot be unpacked', {
        cause: this.#bad,
        hint: 'Export it again',
      });
    }
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
