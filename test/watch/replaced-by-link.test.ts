/** A directory that is replaced by a link while the watch is opened: what is behind the link is not watched. */
import promises, { mkdir, realpath, rename, symlink, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

import { expect, onTestFinished, test, vi } from 'vitest';

import { systemFileEvents } from '../../watch/file-events.ts';
import { scratch } from '../_kit/agent.ts';
import { until } from '../_kit/until.ts';

/** Calls a function when a directory was listed. */
function whenListed(then: (directory: unknown) => Promise<void>): void {
  const real = promises.readdir;
  const spy = vi.spyOn(promises, 'readdir').mockImplementation(async (...asked: Parameters<typeof real>) => {
    const entries = await real(...asked);
    await then(asked[0]);
    return entries;
  });
  syncBuiltinESMExports();
  onTestFinished(() => {
    spy.mockRestore();
    syncBuiltinESMExports();
  });
}

test('what is behind a link is not watched, also if the link takes the place of a directory just now', async () => {
  const [top, outside] = await Promise.all([scratch(), scratch()]);
  await mkdir(join(top, 'a/b'), { recursive: true });
  await mkdir(join(outside, 'b/c'), { recursive: true });
  const [path, below] = [await realpath(top), join(await realpath(top), 'a')];
  const listed: unknown[] = [];
  whenListed(async (directory) => {
    listed.push(directory);
    if (directory !== path) return;
    await rename(below, join(top, 'old'));
    await symlink(outside, below);
  });
  const told: (string | undefined)[] = [];
  const watched = systemFileEvents.open(
    top,
    true,
    (name) => told.push(name),
    (error) => told.push(String(error)),
  );
  onTestFinished(() => watched.close());
  await watched.ready;
  expect(listed).not.toContain(join(below, 'b'));
  await writeFile(join(outside, 'file'), '');
  await writeFile(join(outside, 'b/file'), '');
  await writeFile(join(top, 'last'), '');
  await until(() => expect(told).toContain('last'));
  expect(told.filter((name) => name?.startsWith('a/'))).toEqual([]);
  expect(told).toContain('a');
});
