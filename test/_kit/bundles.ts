/** Bundles of small plugins in a directory, and how they are declared. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Declared } from '../../shared/format/lock-file.ts';
import { file, gzip, tar } from './tar-builder.ts';

/** A plugin of two files: what its bundle is, where that lies, and what its files are. */
export type Packed = Declared & {
  version: string;
  tree: string;
  bundle: string;
  file: string;
  bytes: Buffer;
  files: Record<string, string>;
};

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

/** Writes the bundle of a plugin into a directory. */
export async function bundleIn(directory: string, name: string, version = '1.0.0'): Promise<Packed> {
  const files = {
    'plugin.yaml': `name: ${name}\nversion: ${version}\n`,
    'rules/a.md': `Rule of ${name} ${version}\n`,
  };
  const bytes = gzip(tar(...Object.entries(files).map(([path, text]) => file(path, text))));
  const list = Object.entries(files).map(
    ([path, text]) => `${path}\x00644\0${Buffer.byteLength(text)}\0${sha256(text)}\n`,
  );
  const place = join(directory, `${name}-${version}.tgz`);
  await mkdir(directory, { recursive: true });
  await writeFile(place, bytes);
  const tree = `sha256:${sha256(list.join(''))}`;
  return { name, version, tree, bundle: `sha256:${sha256(bytes)}`, file: place, bytes, files };
}

/** The line of a plugin. */
export const lineOf = ({ name, version, tree, bundle }: Packed): Declared => ({
  name,
  version,
  tree,
  bundle,
});
