/** What `npm run bench` says about its flags; what it measures is no test. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { repository } from '../_kit/program.ts';

const bench = (...flags: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [join(repository, 'bench', 'run.mjs'), ...flags], { encoding: 'utf8' });

it.each([
  { flags: ['--bogus'], says: "Unknown option '--bogus'" },
  { flags: ['--files', 'many'], says: '--files is "many", and must be a whole number of at least 2' },
  { flags: ['--rounds', '0'], says: '--rounds is "0", and must be a whole number of at least 1' },
  {
    flags: ['--only', 'install,lunch'],
    says: '--only names "lunch", and takes only: install, ',
  },
  {
    flags: ['--curves', '--only', 'scan'],
    says: '--only names "scan", and takes only: files, bytes, plugins',
  },
  { flags: ['--places', 'moon'], says: '--places names "moon", and takes only: disk, tmpfs' },
  { flags: ['--disk', '/absent'], says: '--disk is "/absent", and there is no such directory' },
  { flags: ['--bundle', '/absent.tgz'], says: 'The bundle "/absent.tgz" does not exist' },
])('the bench refuses $flags and measures nothing', ({ flags, says }) => {
  const { status, stdout, stderr } = bench(...flags);
  expect(stderr).toContain(says);
  expect(stderr).toContain('npm run bench -- --help');
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
});

it('the bench tells what each of its flags does', () => {
  const { status, stdout } = bench('--help');
  expect(status).toBe(0);
  for (const flag of [
    'files',
    'rounds',
    'bundle',
    'only',
    'places',
    'save',
    'curves',
    'max-files',
    'docker',
  ]) {
    expect(stdout).toMatch(new RegExp(`^ {2}--${flag}( \\S+)? {2,}\\S`, 'm'));
  }
});
