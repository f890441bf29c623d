/** The bundles that an image brings, and what `airlock boot` says of them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Ended, Program } from './program.ts';
import type { Version } from './versions.ts';

/** A directory of bundles by file name. */
export async function makeImage(program: Program, bundles: Record<string, Version>): Promise<string> {
  const directory = join(program.folder, 'image');
  await mkdir(directory, { recursive: true });
  for (const [name, { bundle }] of Object.entries(bundles)) {
    await writeFile(join(directory, `${name}.tgz`), bundle.bytes);
  }
  return directory;
}

/** Plugin and status of each bundle. */
export const statusesOf = ({ stdout }: Ended): unknown =>
  (JSON.parse(stdout) as { plugin?: string; status: string }[]).map(({ plugin, status }) => [plugin, status]);
