/** A bundle on the disk. `push` sends it and can read it again from any byte. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

import { Fault } from '../shared/api/fault.ts';
import { unreadable } from '../shared/api/unreadable.ts';
import { BUNDLE_HEAD_BYTES, bundleKind } from '../shared/format/bundle-kind.ts';
import type { FileEntry } from '../shared/format/tree.ts';
import { NAME_RULE, isPluginName } from '../shared/format/name.ts';
import { namePlugin } from '../shared/rule/plugin-name.ts';
import { manifestInside } from './manifest-inside.ts';

export type Bundle = {
  plugin: string;
  file: string;
  /** Bytes of the file. */
  size: number;
  /** The sha256 of the file, in hex. */
  sha256: string;
  /** The tree digest, if it is known. */
  tree?: string | undefined;
  /** The size of all its files, unpacked, if it is known. */
  bytes?: number | undefined;
  /** Its files, if they can be read again: then an update sends only those that the agent lacks. */
  parts?: Parts | undefined;
};

/** The files of a bundle, which an update may need one by one. */
export type Parts = {
  list: readonly FileEntry[];
  /** The `hot_reload` of its manifest. */
  hotReload: boolean | undefined;
  /**
   * The blocks of an archive of some of the files.
   *
   * @param first the text of its first entry, the list of a delta. @throws Fault INVALID_PARAMS for a file that is not as
   *   it was packed.
   */
  blocks(first: string, wanted: ReadonlySet<string>): AsyncIterable<Buffer>;
};

/**
 * Measures a bundle that was packed before. The plugin's name is that in its manifest, unless the caller gives one; then
 * nothing is unpacked.
 *
 * @throws Fault NOT_FOUND if there is no file; INVALID_PARAMS for one that cannot be read or is empty; MANIFEST_MISSING, MANIFEST_INVALID,
 *   ARCHIVE_CORRUPT or LIMIT_UNPACKED if the name cannot be found.
 */
export async function openBundle(file: string, options: { name?: string | undefined } = {}): Promise<Bundle> {
  const { size, sha256, head } = await measureBundle(file);
  if (size === 0) {
    throw new Fault('INVALID_PARAMS', `The bundle "${file}" is empty`, { hint: 'Pack the plugin again' });
  }
  refuseOther(file, head, options.name);
  const plugin = options.name ?? (await nameInside(file));
  if (!isPluginName(plugin)) {
    throw new Fault('INVALID_PARAMS', `"${plugin}" is not a plugin name`, {
      hint: `Choose another name: ${NAME_RULE}`,
    });
  }
  return { plugin, file, size, sha256 };
}

/** Reads a file once. @throws Fault NOT_FOUND, INVALID_PARAMS */
export async function measureBundle(file: string): Promise<{ size: number; sha256: string; head: Buffer }> {
  const hash = createHash('sha256');
  let size = 0;
  let head = Buffer.alloc(0);
  try {
    if (!(await stat(file)).isFile()) {
      throw new Fault('INVALID_PARAMS', `The bundle "${file}" is not a file`, {
        hint: 'Name a .tgz on the disk, because it is read more than once; or the directory of a plugin',
      });
    }
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      if (head.length < BUNDLE_HEAD_BYTES) head = Buffer.concat([head, chunk.subarray(0, BUNDLE_HEAD_BYTES)]);
      hash.update(chunk);
      size += chunk.length;
    }
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw unreadable(`The bundle "${file}"`, error, 'Name a .tgz, or the directory of a plugin');
  }
  return { size, sha256: hash.digest('hex'), head };
}

/** The agent would refuse it too, after all of it was sent. */
function refuseOther(file: string, head: Buffer, name: string | undefined): void {
  const kind = bundleKind(head.subarray(0, BUNDLE_HEAD_BYTES));
  if (kind === undefined || kind === 'gzip' || (kind === 'zstd' && name !== undefined)) return;
  if (kind === 'zstd') {
    throw new Fault(
      'MANIFEST_MISSING',
      `"${file}" is compressed with zstd, so its manifest cannot be read here`,
      {
        hint: 'Name the plugin (--name), or pack it with gzip',
      },
    );
  }
  const what = kind === 'text' ? 'a text file' : `a file of ${kind}`;
  throw new Fault('ARCHIVE_CORRUPT', `"${file}" is ${what}, and no .tgz`, {
    hint:
      kind === 'zip'
        ? 'Make a .tgz of it with "airlock pack"; "airlock push" does so itself'
        : 'Push the directory of the plugin, or make a .tgz of it with "airlock pack"',
  });
}

async function nameInside(file: string): Promise<string> {
  const naming = namePlugin(await manifestInside(file), undefined);
  if (!naming.ok) {
    throw new Fault(naming.code, naming.why, { hint: naming.hint });
  }
  return naming.name;
}
