/** A command on a root that is ended by a signal in the middle of its change. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { expect } from 'vitest';

import { endOf } from './program.ts';
import { makeScene, settled } from './two-ways.ts';
import { until } from './until.ts';

/** Ends a rollback by this signal; a whole version must be live, and the same operation must go on. */
export async function rollbackEndedBy(signal: NodeJS.Signals): Promise<void> {
  const scene = await makeScene('on the root');
  const words = ['rollback', 'lint', '--operation', 'operation-1'];
  const child = scene.program.start([...words, '--root', scene.program.root]);
  const ended = endOf(child);
  // A command that is faster than the look has ended by then.
  await until(async () => {
    const staged = await readdir(join(scene.program.root, '.staging'));
    expect(child.exitCode ?? staged).not.toEqual([]);
  }, 1);
  child.kill(signal);
  await ended;
  const found = await scene.live();
  expect(found.kind).toBe('version');
  expect(await scene.said(['recover'])).toMatchObject({ failed: { total: 0 }, busy: { total: 0 } });
  await settled(scene);
  expect(await scene.said(words)).toMatchObject({ status: 'rolled-back' });
  expect((await scene.live()).kind).toBe('version');
}
