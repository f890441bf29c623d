/** Zips that cost much to look through: they end at a limit. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { packDirectory } from '../../client/pack/pack.ts';
import { type ZipPart, zipOf } from '../_kit/zip-builder.ts';
import { base, MANIFEST, packsInScratch } from '../client/packing.ts';

packsInScratch();

it('links that stand for millions of files end at the limit of entries', async () => {
  const level = (n: number): ZipPart[] =>
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => ({
      name: `l${n}/${name}`,
      body: `../l${n + 1}`,
      mode: 0o120777,
      method: 0,
    }));
  const file = join(base, 'lint.zip');
  const parts = [0, 1, 2, 3, 4, 5, 6].flatMap(level);
  await writeFile(
    file,
    zipOf([{ name: 'plugin.yaml', body: MANIFEST }, ...parts, { name: 'l7/x', body: 'x' }]),
  );
  await expect(packDirectory(file)).rejects.toMatchObject({
    code: 'LIMIT_ENTRIES',
    message: 'The zip has more than 50000 entries with copies for its links',
  });
});

it('long targets of links that lead through each other end at the limit of names', async () => {
  const target = `${'./'.repeat(2000)}here`;
  const links = Array.from({ length: 2000 }, (_, i) => ({ name: `l${i}`, body: target, mode: 0o120777 }));
  const file = join(base, 'lint.zip');
  await writeFile(
    file,
    zipOf([{ name: 'plugin.yaml', body: MANIFEST }, { name: 'here', body: '.', mode: 0o120777 }, ...links]),
  );
  await expect(packDirectory(file)).rejects.toMatchObject({ code: 'LIMIT_ENTRIES' });
});
