import { describe, expect, it } from 'vitest';

import type { FaultCode } from '../../shared/api/fault.ts';
import { type Case, Fortress, MANIFEST, titled } from '../_kit/fortress.ts';
import { directory, entry, file, hardlink, header, padded, pax, symlink, tar } from '../_kit/tar-builder.ts';

const fortress = Fortress.forAll();

const of =
  (code: FaultCode, params: Case['params'] = {}) =>
  (n: number, what: string, rules: string[], ...entries: Buffer[]): Case => ({
    n,
    what,
    code,
    rules,
    params,
    build: (...before) => tar(MANIFEST, ...before, ...entries),
  });
const collides = of('ARCHIVE_COLLISION');
const refuses = of('ARCHIVE_TYPE');
const refusesLink = of('ARCHIVE_TYPE', { links: 'refuse' });
const odd = (type: string, fields = {}): Buffer => entry({ name: 'odd', type, ...fields });

const COLLISIONS: Case[] = [
  collides(25, 'the same path twice', ['a 25'], file('a', 'x'), file('a', 'x')),
  collides(25, 'a link and a file', ['a 25'], symlink('a', 'plugin.yaml'), file('a', 'x')),
  collides(26, 'a/./b and a/b', ['a/b 26'], file('a/./b', 'x'), file('a/b', 'x')),
  collides(27, 'differing only in case', ['readme 27'], file('README', 'x'), file('readme', 'x')),
  collides(28, 'NFC against NFD', ['e\u0301 28'], file('\u00E9', 'x'), file('e\u0301', 'x')),
  collides(29, 'a file, then a child of it', ['a/b 29'], file('a', 'x'), file('a/b', 'x')),
  collides(30, 'a directory, then a file of that name', ['a 30'], directory('a/'), file('a', 'x')),
  collides(31, 'a file over a non-empty directory', ['a 31'], file('a/b', 'x'), file('a', 'x')),
];

const LINKS: Case[] = [
  refusesLink(32, 'an absolute symlink', ['l 32'], symlink('l', '/etc/passwd')),
  refusesLink(33, 'an escaping symlink', ['d/l 33'], symlink('d/l', '../../x')),
  refusesLink(34, 'an inner symlink', ['d/l 34'], symlink('d/l', '../plugin.yaml')),
  refusesLink(35, 'a dangling symlink', ['l 35'], symlink('l', 'nowhere')),
  refusesLink(
    36,
    'a loop',
    ['a 36', 'b 36', 'c 36'],
    symlink('a', 'b'),
    symlink('b', 'a'),
    symlink('c', 'c'),
  ),
  refusesLink(37, 'a chain y to x/..', ['x 34', 'y 37'], symlink('x', '.'), symlink('y', 'x/..')),
  refusesLink(
    38,
    'a write through a symlink',
    ['y/evil 38', 'y 33'],
    symlink('y', '..'),
    file('y/evil', 'x'),
  ),
  refusesLink(39, 'an absolute hardlink', ['l 39'], hardlink('l', '/etc/passwd')),
  refusesLink(40, 'a hardlink with ..', ['l 40'], hardlink('l', '../outside/canary')),
  refusesLink(41, 'an inner hardlink', ['l 41'], hardlink('l', './plugin.yaml')),
  refusesLink(42, 'a hardlink to nothing', ['l 42'], hardlink('l', 'nothing')),
  refusesLink(43, 'a hardlink to a symlink', ['s 32', 'l 43'], symlink('s', '/etc'), hardlink('l', 's')),
];

const TYPES: Case[] = [
  refuses(
    38,
    'a write through a link that is left out',
    ['y/evil 38'],
    symlink('y', '..'),
    file('y/evil', 'x'),
  ),
  refuses(44, 'a character device', ['odd 44'], odd('3', { devmajor: 1, devminor: 3 })),
  refuses(45, 'a block device', ['odd 45'], odd('4', { devmajor: 8, devminor: 0 })),
  refuses(46, 'a FIFO', ['odd 46'], odd('6')),
  refuses(47, 'a contiguous file', ['odd 47'], entry({ name: 'odd', type: '7' }, 'x')),
  refuses(48, 'a sparse file', ['odd 48'], entry({ name: 'odd', type: 'S' }, 'x')),
  refuses(
    49,
    'pax GNU.sparse',
    ['a 49'],
    pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': '../x' }),
    file('a', 'x'),
  ),
  refuses(50, 'a continuation of another volume', ['odd 50'], odd('M')),
  refuses(51, 'the label of a volume', ['odd 51'], odd('V')),
  refuses(
    52,
    'the directory of an incremental backup',
    ['odd 52'],
    entry({ name: 'odd', type: 'D' }, 'Ya\0'),
  ),
  refuses(53, 'an unknown type', ['odd 53'], odd('Z')),
  refuses(
    54,
    'a link with a size',
    ['l 54'],
    header({ name: 'l', linkname: 'plugin.yaml', type: '2', size: 5 }),
    padded(Buffer.from('12345')),
  ),
];

describe('two entries for one place are refused', () => {
  it.each(titled(COLLISIONS))('%s', (_title, one) => fortress.check(one));
});

describe('links are refused where they are to be', () => {
  it.each(titled(LINKS))('%s', (_title, one) => fortress.check(one));
});

describe('links that lead to nothing in the archive are left out and named otherwise', () => {
  it.each(titled(LINKS.filter(({ n }) => n !== 34 && n !== 38 && n !== 41)))(
    '%s',
    async (_title, { build, rules }) => {
      const { warnings, live, skipped } = await fortress.accepted(build());
      const links = rules.map((text) => text.replace(/ \d+$/, ''));
      expect(warnings.items).toEqual(
        links.map((link) =>
          expect.stringMatching(
            `^${link}: it is left out: it is a link to ".*\\(rule \\d+\\); .*\\(warning: left-out\\)$`,
          ),
        ),
      );
      expect([live, skipped]).toEqual([['plugin.yaml'], links.length]);
      await fortress.quiet();
    },
  );
});

describe('links that lead to a file of the archive become copies of it', () => {
  it.each(titled(LINKS.filter(({ n }) => n === 34 || n === 41)))('%s', async (_title, { build, rules }) => {
    const { warnings, live, skipped } = await fortress.accepted(build());
    const copy = rules[0]?.replace(/ \d+$/, '') ?? '';
    expect(warnings.items).toEqual([]);
    expect([live, skipped]).toEqual([[copy, 'plugin.yaml'].toSorted(), undefined]);
    await fortress.quiet();
  });
});

describe('what is neither file nor directory is refused', () => {
  it.each(titled(TYPES))('%s', (_title, one) => fortress.check(one));
});
