import { expect, test } from 'vitest';

import { type SettingName, flagOf, readSettings, settings } from '../../../shared/api/settings.ts';
import { Fault } from '../../../shared/api/fault.ts';

const names = Object.keys(settings) as SettingName[];

function fault(flags: Record<string, string>, env: Record<string, string> = {}): Fault {
  try {
    readSettings(names, flags, env);
  } catch (error) {
    if (error instanceof Fault) return error;
  }
  throw new Error('It was accepted');
}

test('the defaults are those of the design', () => {
  expect(readSettings(names, {}, {})).toMatchObject({
    root: '/configs/plugins',
    listen: { host: '127.0.0.1', port: 7423 },
    manifest: 'required',
    keep: 1,
    stall: 30_000,
    resume: 60_000,
    deadline: 300_000,
    ignore: [],
    runtime: undefined,
    owner: undefined,
  });
});

test('a flag goes over a variable, and that over the default; an empty variable is none', () => {
  const env = { AIRLOCK_KEEP: '3', AIRLOCK_ROOT: '' };
  expect(readSettings(['keep', 'root'], { keep: '5' }, env)).toEqual({ keep: 5, root: '/configs/plugins' });
  expect(readSettings(['keep'], {}, env)).toEqual({ keep: 3 });
});

test('only what is asked for is read', () => {
  expect(readSettings(['root'], {}, { AIRLOCK_KEEP: 'many' })).toEqual({ root: '/configs/plugins' });
});

test.each([
  ['1048576', 1_048_576],
  ['512K', 524_288],
  ['100M', 104_857_600],
  ['2G', 2_147_483_648],
  ['1 MiB', 1_048_576],
])('%s are %d bytes', (text, expected) => {
  expect(readSettings(['maxPacked'], { maxPacked: text }, {})).toEqual({ maxPacked: expected });
});

test.each([
  ['127.0.0.1:7423', { host: '127.0.0.1', port: 7423 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['localhost:65535', { host: 'localhost', port: 65_535 }],
])('%s is an address', (text, expected) => {
  expect(readSettings(['listen'], { listen: text }, {})).toEqual({ listen: expected });
});

test('unix:/path is an address too, if it is absolute and short enough for the system', () => {
  expect(readSettings(['listen'], { listen: 'unix:/run/a b.sock' }, {})).toEqual({
    listen: { path: '/run/a b.sock' },
  });
  for (const listen of ['unix:', 'unix:relative', 'unix:/run/', 'unix:/', `unix:/${'x'.repeat(90)}`]) {
    expect(fault({ listen }).message).toContain('--listen');
  }
});

test('a value that may hold a secret is not repeated', () => {
  for (const to of ['http://a@host', 'http://host?token=abc', `x\n${'k'.repeat(20)}`, 'x'.repeat(200)]) {
    expect(fault({ to }).message).not.toContain(to);
  }
});

test('lists are cut at commas, owners at the colon', () => {
  expect(readSettings(['ignore', 'owner'], { ignore: ' a, *.b ,,c', owner: '1000:50' }, {})).toEqual({
    ignore: ['a', '*.b', 'c'],
    owner: { uid: 1000, gid: 50 },
  });
});

test.each<[SettingName, string]>([
  ['keep', 'many'],
  ['keep', '-1'],
  ['keep', ' 1'],
  ['maxPacked', '100MB'],
  ['maxPacked', '1.5G'],
  ['listen', '7423'],
  ['listen', 'localhost:65536'],
  ['listen', '::1:7423'],
  ['owner', 'root:root'],
  ['manifest', 'maybe'],
  ['logLevel', 'loud'],
  ['to', 'http://localhost'],
  ['root', ''],
])('--%s "%s" is refused', (name, text) => {
  const { code, message } = fault({ [name]: text });
  expect(code).toBe('INVALID_PARAMS');
  expect(message).toContain(`${flagOf(name)} is "${text}" but `);
});

test('every bad value is named, with where it came from and what it must be', () => {
  const { message, hint } = fault({ maxPacked: 'huge' }, { AIRLOCK_LISTEN: 'here' });
  expect(message).toBe(
    'AIRLOCK_LISTEN is "here" but must be host:port, such as 127.0.0.1:7423 or [::1]:7423, or unix:/path; ' +
      '--max-packed is "huge" but must be a number of bytes such as 1048576, 512K, 100M or 2G',
  );
  expect(hint).toContain('--help');
});

test('each setting has a variable of its own and words for its help', () => {
  const variables = Object.values(settings).map(({ env }) => env);
  expect(new Set(variables).size).toBe(variables.length);
  for (const { env, help } of Object.values(settings)) {
    expect(env).toMatch(/^AIRLOCK_[A-Z_]+$/);
    expect(help).not.toBe('');
  }
  expect(flagOf('maxUnpacked')).toBe('--max-unpacked');
});
