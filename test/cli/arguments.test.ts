import { describe, expect, it } from 'vitest';

import { nearest, readArguments } from '../../cli/arguments.ts';
import type { Command } from '../../cli/command.ts';
import { settings } from '../../shared/api/settings.ts';

const command: Command = {
  name: 'push',
  summary: 'install a plugin',
  positionals: '<dir>',
  count: { min: 1, max: 1 },
  settings: { to: settings.to, maxPacked: settings.maxPacked },
  options: {
    force: { type: 'boolean', help: 'anyway' },
    source: { type: 'string', value: 'text', help: 'whence' },
  },
  examples: ['airlock push x'],
  run: async () => 0,
};

describe('the arguments of a command', () => {
  it('are sorted into words, settings by their names, and the options of the command', () => {
    expect(
      readArguments(command, [
        'dir',
        '--to',
        'ws://x',
        '--max-packed=5M',
        '--force',
        '--source',
        's',
        '--json',
      ]),
    ).toEqual({
      positionals: ['dir'],
      settings: { to: 'ws://x', maxPacked: '5M' },
      strings: { source: 's' },
      lists: {},
      booleans: { force: true, json: true },
      json: true,
      help: false,
    });
  });

  it.each([
    [['dir', '--forced'], /"--force"/],
    [['dir', '--to'], /--to/],
    [['dir', '--force=yes'], /force/],
    [[], /found nothing/],
    [['a', 'b'], /found "a" "b"/],
    [['dir', '--listen', '127.0.0.1:1'], /--listen/],
  ])('%j is a mistake that is named', (words, why) => {
    expect(() => readArguments(command, words)).toThrow(why);
    expect(() => readArguments(command, words)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }));
  });

  it('may be too few when help is asked for', () => {
    expect(readArguments(command, ['--help'])).toMatchObject({ help: true });
  });
});

describe('the nearest name', () => {
  it('is found for a slip, and not for something else', () => {
    expect(nearest('lsit', ['list', 'push'])).toBeUndefined();
    expect(nearest('pus', ['list', 'push'])).toBe('push');
    expect(nearest('verfiy', ['verify', 'list'])).toBe('verify');
    expect(nearest('deploy', ['list', 'push'])).toBeUndefined();
  });
});
