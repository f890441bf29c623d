import { describe, expect, it } from 'vitest';

import { Claims, checkPath } from '../../../shared/rule/path-rules.ts';

describe('two entries collide', () => {
  type Entry = [raw: string, kind: 'file' | 'directory'];
  const clash = (...entries: Entry[]): number[] => {
    const claims = new Claims();
    return entries.flatMap(([raw, kind]) => {
      const checked = checkPath(raw, kind === 'directory', 32);
      return checked.ok ? (claims.claim(checked.path, kind, raw)?.rule ?? []) : [];
    });
  };

  it.each<[rule: number, what: string, entries: Entry[]]>([
    [
      25,
      'the same path twice',
      [
        ['a', 'file'],
        ['a', 'file'],
      ],
    ],
    [
      26,
      'the same path spelled with a dot',
      [
        ['a/./b', 'file'],
        ['a/b', 'file'],
      ],
    ],
    [
      26,
      'the same path spelled with two slashes',
      [
        ['a/b', 'file'],
        ['a//b', 'file'],
      ],
    ],
    [
      27,
      'names that differ only in case',
      [
        ['README.md', 'file'],
        ['readme.md', 'file'],
      ],
    ],
    [
      27,
      'directories that differ only in case',
      [
        ['Rules/a', 'file'],
        ['rules/b', 'file'],
      ],
    ],
    [
      28,
      'NFC against NFD',
      [
        ['caf\u00E9', 'file'],
        ['cafe\u0301', 'file'],
      ],
    ],
    [
      29,
      'a file, then a child of it',
      [
        ['a', 'file'],
        ['a/b', 'file'],
      ],
    ],
    [
      29,
      'a file, then a grandchild of it',
      [
        ['a', 'file'],
        ['a/b/c', 'file'],
      ],
    ],
    [
      29,
      'a file, then a directory below it',
      [
        ['a', 'file'],
        ['a/b', 'directory'],
      ],
    ],
    [
      30,
      'a directory, then a file of that name',
      [
        ['a', 'directory'],
        ['a', 'file'],
      ],
    ],
    [
      30,
      'a file, then a directory of that name',
      [
        ['a', 'file'],
        ['a', 'directory'],
      ],
    ],
    [
      31,
      'a file over a directory that holds something',
      [
        ['a/b', 'file'],
        ['a', 'file'],
      ],
    ],
    [
      31,
      'the same where the directory was named before',
      [
        ['a', 'directory'],
        ['a/b', 'file'],
        ['a', 'file'],
      ],
    ],
  ])('rule %i: %s', (rule, _what, entries) => {
    expect(clash(...entries)).toEqual([rule]);
  });

  it('but a directory may be named again, and after what is in it', () => {
    expect(clash(['a/b', 'file'], ['a', 'directory'], ['a/', 'directory'], ['./a', 'directory'])).toEqual([]);
  });

  it('and not where only a prefix is the same', () => {
    expect(clash(['a', 'file'], ['ab', 'file'], ['a.b', 'directory'], ['b/a', 'file'])).toEqual([]);
  });

  it('each time that it happens, however many there are', () => {
    expect(clash(['a', 'file'], ['a', 'file'], ['a', 'file'], ['a/b', 'file'])).toEqual([25, 25, 29]);
    expect(clash(['A/x', 'file'], ['a/x', 'file'], ['a/y', 'file'])).toEqual([27, 27]);
  });
});
