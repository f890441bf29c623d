/** What was written without syncs before a restart of the machine: an empty marker may be one that was lost. */
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { type Layout, MARKER } from '../../shared/format/layout.ts';
import { admitted, refused } from '../_kit/gate.ts';
import { install, makeRoot } from '../_kit/loader-root.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const noteOf = (bootId: string): string => JSON.stringify({ version: 1, bootId });

async function touched(): Promise<Layout> {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await writeFile(join(layout.live('lint'), MARKER), '');
  return layout;
}

test.each([noteOf('another boot'), noteOf(''), '', 'torn', '{"version":2}'])(
  'an empty marker is refused while the note says %j, in both modes',
  async (note) => {
    const layout = await touched();
    await writeFile(layout.unsynced, note);
    for (const mode of ['enforce', 'warn'] as const) {
      expect(await refused(layout.root, 'lint', { mode })).toMatchObject({
        reason: 'marker-invalid',
        detail: expect.stringMatching(/empty.*without syncs.*restarted/) as string,
        hint: expect.stringContaining('touch lint/.complete') as string,
      });
    }
  },
);

test('a note that is no file refuses it, too; a full marker needs no note', async () => {
  const layout = await touched();
  await install(layout, 'other');
  await mkdir(layout.unsynced);
  expect((await refused(layout.root, 'lint')).reason).toBe('marker-invalid');
  expect((await admitted(layout.root, 'other')).level).toBe('verified');
  await rm(layout.unsynced, { recursive: true });
  expect((await admitted(layout.root, 'lint')).level).toBe('unverified');
});

test('a note of this boot changes nothing', async (ctx) => {
  if (!existsSync(BOOT_ID)) ctx.skip('this system does not say which boot it is');
  const layout = await touched();
  await writeFile(layout.unsynced, noteOf(readFileSync(BOOT_ID, 'utf8').trim()));
  await chmod(layout.unsynced, 0o644);
  expect((await admitted(layout.root, 'lint')).level).toBe('unverified');
});

test('a loader that has admitted it before looks at the note again', async () => {
  const layout = await touched();
  await new Promise((resolve) => setTimeout(resolve, 150));
  const loader = createLoader({ roots: [layout.root] });
  expect((await loader.gate('lint')).admitted).toBe(true);
  await writeFile(layout.unsynced, noteOf('another boot'));
  expect((await loader.gate('lint')).admitted).toBe(false);
  expect((await loader.scan()).refused).toMatchObject([{ name: 'lint', reason: 'marker-invalid' }]);
});
