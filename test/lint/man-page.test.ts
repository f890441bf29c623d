/** docs/airlock.1 as the tools for manual pages see it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { COMMANDS } from '../../cli/run.ts';
import { repository } from '../_kit/program.ts';

const page = join(repository, 'docs/airlock.1');

it('is a manual page without faults', (ctx) => {
  const { error, stdout } = spawnSync('mandoc', ['-Tlint', '-W', 'warning', page], { encoding: 'utf8' });
  if (error !== undefined) ctx.skip('this machine has no mandoc');
  // A page that is written again for each change has no date of its own.
  const faults = stdout.split('\n').filter((line) => line !== '' && !line.includes('missing date'));
  expect(faults).toEqual([]);
});

it('shows each command, with its options as they are typed', (ctx) => {
  const { error, stdout } = spawnSync('mandoc', ['-Tascii', page], { encoding: 'utf8' });
  if (error !== undefined) ctx.skip('this machine has no mandoc');
  // Bold letters are printed twice, with a backspace between them.
  const parts = stdout.split('\b');
  const text = parts.map((part, i) => (i < parts.length - 1 ? part.slice(0, -1) : part)).join('');
  for (const name of Object.keys(COMMANDS)) expect(text).toContain(`airlock ${name}`);
  expect(text).toContain('--allow-secret path');
  expect(text).toContain('AIRLOCK_TOKEN_FILE=file');
});
