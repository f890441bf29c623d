import { join, resolve, sep } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { checkPath, parentOf, parentsOf } from '../../../shared/rule/path-rules.ts';

const rulesOf = (raw: string, directory = false): number[] => {
  const checked = checkPath(raw, directory, 32);
  return checked.ok ? [] : checked.breaks.map(({ rule }) => rule);
};

const REFUSED: [rule: number, what: string, raw: string][] = [
  [1, 'a step out', '../x'],
  [1, 'two dots alone', '..'],
  [1, 'a step out behind a dot', './../x'],
  [2, 'a way in and two steps out', 'a/../../x'],
  [2, 'the same with doubled slashes', 'a//..//..//x'],
  [3, 'a step back inside', 'a/../b'],
  [3, 'a step back at the end', 'a/b/..'],
  [4, 'an absolute path', '/x'],
  [4, 'the root of the file system', '/'],
  [5, 'four slashes', '////x'],
  [5, 'three slashes', '///'],
  [6, 'a drive', 'C:\\x'],
  [6, 'a drive with a forward slash', 'c:/x'],
  [7, 'a drive without a slash', 'C:..\\x'],
  [7, 'a drive and a name', 'C:x'],
  [8, 'a share', '\\\\server\\share\\x'],
  [8, 'a share with forward slashes', '//server/share/x'],
  [9, 'a step out by backslash', '..\\x'],
  [9, 'a step out by backslash further in', 'a\\..\\..\\x'],
  [10, 'a backslash', 'rules\\a.md'],
  [12, 'no name', ''],
  [13, 'a file called "."', '.'],
  [13, 'a file called "./."', './.'],
  [14, 'a NUL', 'a\0b'],
  [15, 'a newline', 'a\nb'],
  [15, 'an ESC', 'a\u001B[31mb'],
  [15, 'a DEL', 'a\u007Fb'],
  [15, 'a C1 control', 'a\u009Bb'],
  [15, 'a line separator', 'a\u2028b'],
  [16, 'a right-to-left override', 'a\u202Egpj.md'],
  [16, 'an isolate', 'a\u2066b'],
  [16, 'an Arabic letter mark', 'a\u061Cb'],
  [17, 'a replacement character', 'a\uFFFDb'],
  [18, 'a device', 'CON'],
  [18, 'a device with an ending', 'aux.md'],
  [18, 'a device as a directory', 'rules/nul/a.md'],
  [18, 'a device with a superscript', 'com¹.txt'],
  [18, 'a dot at the end', 'a.'],
  [18, 'a space at the end of a directory', 'a /b'],
  [18, 'three dots', 'a/.../b'],
  [19, 'a stream', 'f:ads'],
  [19, 'a stream further in', 'rules/f.md:ads'],
  [20, 'a name of 256 bytes', 'a'.repeat(256)],
  [20, 'a name of 128 letters and 256 bytes', `rules/${'é'.repeat(128)}`],
  [21, 'a path of 1025 bytes', `${'a/'.repeat(15)}${`${'b'.repeat(249)}/`.repeat(3)}${'c'.repeat(245)}`],
  [22, 'a depth of 33', `${'a/'.repeat(32)}b`],
  [23, 'the staging directory', '.staging/x'],
  [23, 'the staging directory itself', '.staging'],
  [23, 'the snapshots in capitals', '.PREVIOUS/x'],
  [23, 'receipts behind a dot', './.receipts/x'],
  [23, 'the place where a top directory is put aside', '.airlock-top/x'],
];

describe('a path of an archive is refused by the rule that it breaks', () => {
  it.each(REFUSED)('rule %i: %s', (rule, _what, raw) => {
    expect(rulesOf(raw)).toContain(rule);
  });

  it('covers the rules 1 to 23 but for 11, which only a header can break', () => {
    expect([...new Set(REFUSED.map(([rule]) => rule))]).toEqual(
      Array.from({ length: 23 }, (_, i) => i + 1).filter((rule) => rule !== 11),
    );
  });

  it.each(['staging', 'previous', 'receipts', 'state', 'loaded', 'operations', 'boot', 'locks', 'volatile'])(
    'rule 23 holds for .%s',
    (name) => expect(rulesOf(`.${name}/x`)).toContain(23),
  );

  it('names every rule that a path breaks', () => {
    expect(rulesOf('../CON/f:ads\n').toSorted((a, b) => a - b)).toEqual([1, 15, 18, 19]);
  });

  it('says what to do about a backslash', () => {
    const checked = checkPath('rules\\a.md', false, 32);
    expect(checked.ok ? '' : checked.breaks.map(({ what }) => what).join()).toMatch(/Windows.*airlock pack/);
  });

  it('refuses a directory by the same rules, but for its being the root', () => {
    expect(rulesOf('../x/', true)).toEqual([1]);
    expect(rulesOf('/x/', true)).toEqual([4]);
    expect(rulesOf('.staging/', true)).toEqual([23]);
    expect(checkPath('./', true, 32)).toEqual({ ok: true, path: '' });
  });
});

const ACCEPTED: [raw: string, path: string][] = [
  ['plugin.yaml', 'plugin.yaml'],
  ['./rules/a.md', 'rules/a.md'],
  ['rules//a.md', 'rules/a.md'],
  ['a/./b', 'a/b'],
  ['0123', '0123'],
  ['4913', '4913'],
  ['.claude-plugin/plugin.json', '.claude-plugin/plugin.json'],
  ['sub/.staging/x', 'sub/.staging/x'],
  ['..a/b..c', '..a/b..c'],
  ['com10.txt', 'com10.txt'],
  ['console.md', 'console.md'],
  ['auxiliary', 'auxiliary'],
  [' leading space', ' leading space'],
  ['-rf', '-rf'],
  ['$(reboot)', '$(reboot)'],
  ['Ünïcode 漢字 🚪.md', 'Ünïcode 漢字 🚪.md'],
  ['a\u200Db', 'a\u200Db'],
  ['a'.repeat(255), 'a'.repeat(255)],
  [`${'a/'.repeat(31)}b`, `${'a/'.repeat(31)}b`],
];

describe('a path of an archive is accepted', () => {
  it.each(ACCEPTED)('%j', (raw, path) => {
    expect(checkPath(raw, false, 32)).toEqual({ ok: true, path });
  });

  it('of 1,024 bytes', () => {
    const raw = `${'a/'.repeat(12)}${`${'b'.repeat(249)}/`.repeat(4)}`.slice(0, -1);
    expect(Buffer.byteLength(raw)).toBe(1023);
    expect(rulesOf(`${raw}b`)).toEqual([]);
    expect(rulesOf(`${raw}bb`)).toEqual([21]);
  });

  const nasty = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '..',
          '.',
          '',
          '/',
          '\\',
          'a',
          'C:',
          '.staging',
          'CON',
          '\0',
          '\u202E',
          '~',
          ' ',
          '...',
        ),
        fc.string({ unit: 'binary', maxLength: 8 }),
      ),
      { maxLength: 8 },
    )
    .chain((parts) => fc.constantFrom('/', '', '//', '\\').map((glue) => parts.join(glue)));

  it('only if, joined to a slot, it stays below it and is a plain path', () => {
    const slot = '/root/plugins/.staging/lint.slot';
    let accepted = 0;
    fc.assert(
      fc.property(nasty, fc.boolean(), (raw, directory) => {
        const checked = checkPath(raw, directory, 32);
        if (!checked.ok || checked.path === '') {
          return;
        }
        accepted += 1;
        const joined = `${slot}/${checked.path}`;
        expect(resolve(joined)).toBe(joined);
        expect(join(slot, checked.path)).toBe(joined);
        expect(resolve(slot, checked.path).startsWith(slot + sep)).toBe(true);
        expect(checked.path.split('/')).not.toContain('..');
      }),
      { numRuns: 5000 },
    );
    expect(accepted).toBeGreaterThan(200);
  });

  it('once and for all: checking it again changes nothing', () => {
    fc.assert(
      fc.property(nasty, fc.boolean(), (raw, directory) => {
        const checked = checkPath(raw, directory, 32);
        if (checked.ok && checked.path !== '') {
          expect(checkPath(checked.path, false, 32)).toEqual(checked);
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe('what is above a path', () => {
  it('is found one by one, the nearest first', () => {
    expect([parentOf('a/b/c'), parentOf('a'), parentOf('')]).toEqual(['a/b', '', '']);
    expect(parentsOf('a/b/c')).toEqual(['a/b', 'a']);
    expect(parentsOf('a')).toEqual([]);
  });
});
