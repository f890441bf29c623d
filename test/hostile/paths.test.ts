import { describe, it } from 'vitest';

import { Fortress, MANIFEST, type Case, titled } from '../_kit/fortress.ts';
import { yamlOf } from '../_kit/install-room.ts';
import { directory, file, longName, pax, tar } from '../_kit/tar-builder.ts';

const fortress = Fortress.forAll();

const named = (path: string | Buffer): Buffer => Buffer.concat([pax({ path }), file('short', 'x')]);
const refuses = (n: number, what: string, rules: string[], ...entries: Buffer[]): Case => ({
  n,
  what,
  code: 'ARCHIVE_PATH',
  rules,
  build: (...before) => tar(MANIFEST, ...before, ...entries),
});

const deep = `${'d/'.repeat(32)}f`;
const long = `${`${'p'.repeat(200)}/`.repeat(5)}${'q'.repeat(20)}`;
const RESERVED = [
  '.staging',
  '.previous',
  '.receipts',
  '.state',
  '.loaded',
  '.operations',
  '.boot',
  '.history',
  '.locks',
];

const CASES: Case[] = [
  refuses(1, '../x', ['../x 1'], file('../x', 'x')),
  refuses(1, '../x as a directory', ['../d/ 1'], directory('../d/')),
  refuses(1, '../x by a GNU long name', ['../x 1'], longName('../x'), file('short', 'x')),
  refuses(1, '../x by a pax path', ['../x 1'], named('../x')),
  refuses(2, 'a/../../x', ['a/../../x 2'], file('a/../../x', 'x')),
  refuses(3, 'a/../b', ['a/../b 3'], file('a/../b', 'x')),
  refuses(4, '/x', ['/x 4'], file('/x', 'x')),
  refuses(5, '////x', ['////x 5'], file('////x', 'x')),
  refuses(6, 'C:\\x', ['C:\\\\x 6', 'C:\\\\x 10'], file('C:\\x', 'x')),
  refuses(7, 'C:..\\x', ['C:..\\\\x 7', 'C:..\\\\x 10', 'C:..\\\\x 19'], file('C:..\\x', 'x')),
  refuses(
    8,
    'a network share',
    ['\\\\\\\\server\\\\share\\\\x 8', '\\\\\\\\server\\\\share\\\\x 10'],
    file('\\\\server\\share\\x', 'x'),
  ),
  refuses(9, '..\\x', ['..\\\\x 9', '..\\\\x 10'], file('..\\x', 'x')),
  refuses(10, 'rules\\a.md', ['rules\\\\a.md 10'], file('rules\\a.md', 'x')),
  refuses(11, 'a ustar prefix ..', ['../x 11'], file('x', 'x', { prefix: '..' })),
  refuses(12, 'an empty name', [' 12'], file('', 'x')),
  refuses(13, '. as a file', ['. 13'], file('.', 'x')),
  refuses(14, 'a NUL in a pax path', ['a\\u0000b 14', 'a\\u0000b 15'], named('a\0b')),
  refuses(
    14,
    'a NUL in a GNU long name',
    ['a\\u0000b 14', 'a\\u0000b 15'],
    longName('a\0b'),
    file('short', 'x'),
  ),
  refuses(
    15,
    'a newline, an ESC',
    ['a\\nb 15', 'a\\u001b[2J 15'],
    file('a\nb', 'x'),
    file('a\u001B[2J', 'x'),
  ),
  refuses(
    15,
    'a newline in a pax path, which looks like one record more',
    [15, 3, 18].map((rule) => `a\\n20 path=../../x ${rule}`),
    named('a\n20 path=../../x'),
  ),
  refuses(16, 'bidi controls', ['a\u202Egpj.md 16'], file('a\u202Egpj.md', 'x')),
  refuses(17, 'invalid UTF-8', ['a\uFFFD 17'], file('x', 'x', { name: Buffer.from([0x61, 0xff]) })),
  refuses(17, 'invalid UTF-8 in a pax path', ['a\uFFFD 17'], named(Buffer.from([0x61, 0xff]))),
  refuses(
    18,
    'CON, aux.md, a dot or space at the end',
    ['CON 18', 'rules/aux.md 18', 'a. 18', 'b  18'],
    ...['CON', 'rules/aux.md', 'a.', 'b '].map((name) => file(name, 'x')),
  ),
  refuses(19, 'f:ads', ['rules/f:ads 19'], file('rules/f:ads', 'x')),
  refuses(20, 'a segment of 256 bytes', [`${'s'.repeat(256)} 20`], named('s'.repeat(256))),
  refuses(21, 'a path of 1,025 bytes', [`${long.slice(0, 300)} 21`], named(long)),
  refuses(22, 'a depth of 33', [`${deep} 22`], file(deep, 'x')),
  refuses(
    23,
    'reserved names at the root',
    RESERVED.map((name) => `${name}/x 23`),
    ...RESERVED.map((name) => file(`${name}/x`, 'x')),
  ),
  {
    n: 24,
    what: 'several roots with no manifest at the top',
    code: 'MANIFEST_MISSING',
    rules: [' 24'],
    build: () => tar(file('a/plugin.yaml', yamlOf()), file('b/plugin.yaml', yamlOf())),
    hides: true,
  },
  {
    n: 24,
    what: 'a manifest that names another plugin than the request',
    code: 'MANIFEST_MISMATCH',
    rules: ['plugin.yaml 24'],
    build: () => tar(file('plugin.yaml', yamlOf('other'))),
    hides: true,
  },
];

describe('a path is refused', () => {
  it.each(titled(CASES))('%s', (_title, one) => fortress.check(one));
});
