import { describe, expect, test } from 'vitest';

import { fallbackOf, partOf, readSettings, setting, settingsOf } from '../../../shared/api/setting.ts';
import { count, oneOf } from '../../../shared/api/setting-kinds.ts';
import { settings } from '../../../shared/api/settings.ts';
import { readAgentConfig, readWorkConfig } from '../../../agent/config.ts';
import { readArguments } from '../../../cli/arguments.ts';
import type { Command } from '../../../cli/command.ts';
import { helpOf } from '../../../cli/help.ts';
import { Fault } from '../../../shared/api/fault.ts';

type SettingName = keyof typeof settings;

function fault(flags: Record<string, string>, env: Record<string, string> = {}): Fault {
  try {
    readSettings(settings, flags, env);
  } catch (error) {
    if (error instanceof Fault) return error;
  }
  throw new Error('It was accepted');
}

test('the defaults are those of the design', () => {
  expect(readSettings(settings, {}, {})).toMatchObject({
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
  expect(readSettings({ keep: settings.keep, root: settings.root }, { keep: '5' }, env)).toEqual({
    keep: 5,
    root: '/configs/plugins',
  });
  expect(readSettings({ keep: settings.keep }, {}, env)).toEqual({ keep: 3 });
});

test('only what is asked for is read', () => {
  expect(readSettings({ root: settings.root }, {}, { AIRLOCK_KEEP: 'many' })).toEqual({
    root: '/configs/plugins',
  });
});

test.each([
  ['1048576', 1_048_576],
  ['512K', 524_288],
  ['100M', 104_857_600],
  ['2G', 2_147_483_648],
  ['1 MiB', 1_048_576],
])('%s are %d bytes', (text, expected) => {
  expect(readSettings({ maxPacked: settings.maxPacked }, { maxPacked: text }, {})).toEqual({
    maxPacked: expected,
  });
});

test.each([
  ['127.0.0.1:7423', { host: '127.0.0.1', port: 7423 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['localhost:65535', { host: 'localhost', port: 65_535 }],
])('%s is an address', (text, expected) => {
  expect(readSettings({ listen: settings.listen }, { listen: text }, {})).toEqual({ listen: expected });
});

test('unix:/path is an address too, if it is absolute and short enough for the system', () => {
  expect(readSettings({ listen: settings.listen }, { listen: 'unix:/run/a b.sock' }, {})).toEqual({
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
  expect(
    readSettings(
      { ignore: settings.ignore, owner: settings.owner },
      { ignore: ' a, *.b ,,c', owner: '1000:50' },
      {},
    ),
  ).toEqual({
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
  expect(message).toContain(`${settings[name].flag} is "${text}" but `);
});

test('every bad value is named, with where it came from and what it must be', () => {
  const { message, hint } = fault({ maxPacked: 'huge' }, { AIRLOCK_LISTEN: 'here' });
  expect(message).toBe(
    'AIRLOCK_LISTEN is "here" but must be host:port, such as 127.0.0.1:7423 or [::1]:7423, or unix:/path; ' +
      '--max-packed is "huge" but must be a number of bytes such as 1048576, 512K, 100M or 2G',
  );
  expect(hint).toContain('--help');
});

test('each setting has a flag and a variable of its own, words for its help, and a default that can be read', () => {
  const rows = Object.values(settings);
  const flags = rows.flatMap(({ flag }) => flag ?? []);
  expect(new Set(flags).size).toBe(flags.length);
  expect(new Set(rows.map(({ env }) => env)).size).toBe(rows.length);
  for (const { flag, env, help, unit, of, fallback, schema } of rows) {
    expect(flag ?? '--none').toMatch(/^--[a-z-]+$/);
    expect(env).toMatch(/^AIRLOCK_[A-Z_]+$/);
    expect([help, unit, of.length > 0]).not.toContain('');
    expect(fallback === undefined || schema.safeParse(fallback).success).toBe(true);
  }
});

test('only the token, which arguments would show to everybody, has no flag', () => {
  expect(
    Object.entries(settings)
      .filter(([, { flag }]) => flag === undefined)
      .map(([name]) => name),
  ).toEqual(['token']);
});

describe('a row is all that a new setting needs', () => {
  const table = {
    colour: setting({
      flag: '--colour',
      env: 'AIRLOCK_COLOUR',
      of: ['agent', 'loader'],
      ...oneOf(['red', 'green']),
      fallback: 'red',
      help: 'the colour of the log',
    }),
    most: setting({
      flag: '--most-of-all',
      env: 'AIRLOCK_MOST',
      of: ['agent', 'work'],
      ...count('things'),
      absent: 'no limit',
      help: 'the most things',
      part: 'policy',
    }),
  } as const;
  const agent = settingsOf(table, 'agent');
  const command: Command = {
    name: 'serve',
    summary: 'serve',
    positionals: '',
    count: { min: 0, max: 0 },
    settings: agent,
    options: {},
    examples: ['airlock serve'],
    run: async () => 0,
  };
  const plain = (_style: string, text: string): string => text;

  test('for its flag, its variable and its default, with the types that follow from it', () => {
    const { settings: flags } = readArguments(command, ['--most-of-all', '3']);
    const read: { colour: 'red' | 'green'; most: number | undefined } = readSettings(agent, flags, {});
    expect(read).toEqual({ colour: 'red', most: 3 });
    expect(readSettings(agent, {}, { AIRLOCK_COLOUR: 'green' })).toEqual({
      colour: 'green',
      most: undefined,
    });
    const colour: 'red' | 'green' = fallbackOf(table.colour);
    expect(colour).toBe('red');
  });

  test('for its error, which says what is wrong and what it must be', () => {
    const bad = (): unknown => readSettings(agent, { colour: 'blue' }, { AIRLOCK_MOST: 'many' });
    expect(bad).toThrow('--colour is "blue" but must be one of red, green');
    expect(bad).toThrow('AIRLOCK_MOST is "many" but must be a number of things');
  });

  test('for the commands that read it, and for their help', () => {
    expect(Object.keys(settingsOf(table, 'loader'))).toEqual(['colour']);
    expect(Object.keys(settingsOf(table, 'client', 'work'))).toEqual(['most']);
    const help = helpOf(command, plain);
    expect(help).toMatch(/--colour <red\|green> +the colour of the log \(AIRLOCK_COLOUR, default: red\)/);
    expect(help).toMatch(/--most-of-all <things> +the most things \(AIRLOCK_MOST, default: no limit\)/);
  });

  test('for its part of the configuration', () => {
    const policy: { most: number | undefined } = partOf(table, { colour: 'red', most: 3 }, 'policy');
    expect(policy).toEqual({ most: 3 });
  });
});

test('the configuration of work on a root has every value of the policy and every timeout', () => {
  const { policy, timeouts, root } = readWorkConfig({ root: '/r' }, { AIRLOCK_MAX_PACKED: '5M' });
  expect(root).toBe('/r');
  expect(policy).toEqual({
    manifest: 'required',
    runtime: undefined,
    ignore: [],
    owner: undefined,
    keep: 1,
    keepMillis: 7 * 24 * 60 * 60 * 1000,
    maxPacked: 5 * 1024 ** 2,
    maxUnpacked: 256 * 1024 ** 2,
    maxEntries: 50_000,
    maxDepth: 32,
    maxRatio: 200,
    restarts: 'caller',
    probe: undefined,
  });
  expect(timeouts).toEqual({ stall: 30_000, resume: 60_000, deadline: 300_000, lock: 30_000 });
});

test('the token does not go to the restart command', () => {
  const env = { AIRLOCK_TOKEN: 'secret', AIRLOCK_RESTART_COMMAND: 'true', PATH: '/bin' };
  const { restart, token, policy } = readAgentConfig({}, env);
  expect(restart?.env).toEqual({ AIRLOCK_RESTART_COMMAND: 'true', PATH: '/bin' });
  expect([token, restart?.timeout, policy.restarts]).toEqual(['secret', 60_000, 'command']);
});

test('an agent with a token for pulls wants to know which servers may get it', () => {
  const env = { AIRLOCK_PULL_TOKEN_FILE: '/run/secrets/pull' };
  expect(() => readAgentConfig({}, env)).toThrow(
    expect.objectContaining({
      code: 'INVALID_PARAMS',
      hint: expect.stringContaining('AIRLOCK_PULL_FROM') as string,
    }),
  );
  const named = { ...env, AIRLOCK_PULL_FROM: 'https://plugins.example.com' };
  expect(readAgentConfig({}, named).pullFrom).toEqual(['https://plugins.example.com']);
  // Who pulls into a root has chosen the token and the URL.
  expect(readWorkConfig({}, env).pullTokenFile).toBe('/run/secrets/pull');
});
