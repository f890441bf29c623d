import { describe, expect, it } from 'vitest';

import type { FaultCode } from '../../shared/api/fault.ts';
import { type Case, Fortress, MANIFEST, titled } from '../_kit/fortress.ts';
import {
  directory,
  entry,
  file,
  globalPax,
  header,
  longLink,
  longName,
  pax,
  tar,
} from '../_kit/tar-builder.ts';

const fortress = Fortress.forAll();

const of =
  (code: FaultCode) =>
  (n: number, what: string, rules: string[], ...entries: Buffer[]): Case => ({
    n,
    what,
    code,
    rules,
    build: (...before) => tar(MANIFEST, ...before, ...entries),
  });
const refuses = of('ARCHIVE_METADATA');
const ambiguous = of('ARCHIVE_AMBIGUOUS');

const MEGA = 'x'.repeat(1024 * 1024 + 1);
const LONG_LINK = '././@LongLink';
const binary = (length: number, ...last: number[]): Buffer =>
  Buffer.concat([Buffer.from([0x80]), Buffer.alloc(length - 1 - last.length), Buffer.from(last)]);
/** The first bit says that the bytes are a number. */
const garbage = (length: number): Buffer => Buffer.alloc(length, Buffer.from('deadbeef', 'hex'));

const METADATA: Case[] = [
  refuses(55, 'setuid on a file', ['a 55'], file('a', 'x', { mode: 0o4755 })),
  refuses(55, 'setgid on a file', ['a 55'], file('a', 'x', { mode: 0o2644 })),
  refuses(58, 'a uid beyond 2^32', ['a 58'], file('a', 'x', { uid: binary(8, 1, 0, 0, 0, 0) })),
  refuses(58, 'a gid beyond 2^32 by pax', ['a 58'], pax({ gid: '4294967296' }), file('a', 'x')),
  refuses(59, 'a NaN time', ['a 59'], pax({ mtime: 'NaN' }), file('a', 'x')),
  refuses(59, 'a time that is no number', ['a 59'], pax({ atime: '0x10' }), file('a', 'x')),
];

const NORMALISED: [n: number, what: string, entries: Buffer[]][] = [
  [56, 'mode 000', [file('a', 'x', { mode: 0 })]],
  [57, 'a foreign owner', [file('a', 'x', { uid: 4242, gid: 4242 })]],
  [60, 'a far-future time', [pax({ mtime: '99999999999' }), file('a', 'x')]],
  [60, 'a negative time', [pax({ mtime: '-1.5' }), file('a', 'x')]],
  [60, 'a negative time in base-256', [file('a', 'x', { mtime: Buffer.alloc(12, 0xff) })]],
  [61, 'world-writable', [file('a', 'x', { mode: 0o666 })]],
  [
    62,
    'xattr and ACL pax records',
    [pax({ 'SCHILY.xattr.user.a': 'x', 'SCHILY.acl.access': 'u' }), file('a', 'x')],
  ],
];

const AMBIGUOUS: Case[] = [
  ambiguous(63, 'pax size and ustar size differ', ['a 63'], pax({ size: '1' }), file('a', 'xx')),
  ambiguous(
    64,
    'x(size), then L, then a file',
    [`${LONG_LINK} 64`],
    pax({ size: '1' }),
    longName('b'),
    file('a', 'x'),
  ),
  ambiguous(64, 'L, then x', ['PaxHeader 64'], longName('b'), pax({ path: 'c' }), file('a', 'x')),
  ambiguous(65, 'linkpath on a file', ['a 65'], pax({ linkpath: '/etc/passwd' }), file('a', 'x')),
  ambiguous(65, "GNU's K before a file", ['a 65'], longLink('/etc/passwd'), file('a', 'x')),
  ambiguous(66, 'a negative pax size', ['a 66'], pax({ size: '-1' }), file('a', 'x')),
  ambiguous(
    67,
    'a negative base-256 size',
    ['a 67'],
    entry({ name: 'a', size: Buffer.alloc(12, 0xff) }, 'x'),
  ),
  ambiguous(
    68,
    'a size that overflows',
    ['a 68'],
    entry({ name: 'a', size: binary(12, ...Array(11).fill(255)) }, 'x'),
  ),
  ambiguous(68, 'a pax size that overflows', ['a 68'], pax({ size: '9'.repeat(40) }), file('a', 'x')),
  {
    n: 69,
    what: 'a bad checksum on the first header',
    code: 'ARCHIVE_AMBIGUOUS',
    rules: [' 69'],
    build: () => tar(file('a', 'x', { checksum: '000000\0 ' }), MANIFEST),
    hides: true,
  },
  ambiguous(70, 'a bad checksum later', [' 70'], file('a', 'x', { checksum: '000000\0 ' })),
  ambiguous(
    71,
    'a pax length that is too long',
    ['PaxHeader 71'],
    pax(Buffer.from('99 path=a\n')),
    file('a', 'x'),
  ),
  ambiguous(
    71,
    'a pax length that is too short',
    ['PaxHeader 71'],
    pax(Buffer.from('8 path=a\n')),
    file('a', 'x'),
  ),
  ambiguous(
    71,
    'a pax length with a sign',
    ['PaxHeader 71'],
    pax(Buffer.from('+10 path=a\n')),
    file('a', 'x'),
  ),
  ambiguous(
    71,
    'a pax path that is said twice',
    ['PaxHeader 71'],
    pax(Buffer.from('10 path=a\n10 path=b\n')),
    file('a', 'x'),
  ),
  ambiguous(72, 'a pax header over 1 MiB', ['PaxHeader 72'], pax({ comment: MEGA }), file('a', 'x')),
  ambiguous(73, "GNU's L over 1 MiB", [`${LONG_LINK} 73`], longName(MEGA), file('a', 'x')),
  ambiguous(
    74,
    'a directory with a size',
    ['a/ 74'],
    directory('a/', { size: 512 }),
    header({ name: 'hidden' }),
  ),
  ambiguous(75, 'garbage for a size', ['a 75'], file('a', 'x', { size: 'twelve' })),
  ambiguous(75, 'garbage for a mode', ['a 75'], file('a', 'x', { mode: '89' })),
  ambiguous(75, 'garbage for a time', ['a 75'], file('a', 'x', { mtime: '12:30 today' })),
  ambiguous(75, 'garbage for a mode in base-256', ['a 75'], file('a', 'x', { mode: garbage(8) })),
  ambiguous(75, 'a negative mode in base-256', ['a 75'], file('a', 'x', { mode: Buffer.alloc(8, 0xff) })),
  ambiguous(
    75,
    'a mode in base-256 that is too large',
    ['a 75'],
    file('a', 'x', { mode: binary(8, 1, 0, 0, 0, 0) }),
  ),
  ambiguous(75, 'garbage for a time in base-256', ['a 75'], file('a', 'x', { mtime: garbage(12) })),
  ambiguous(75, 'garbage for the mode of a directory', ['a/ 75'], directory('a/', { mode: garbage(8) })),
  ambiguous(76, 'Solaris X', ['a 76'], entry({ name: 'a', type: 'X' }, '10 path=b\n')),
  ambiguous(
    77,
    'g with a path',
    ['pax_global_header 77'],
    globalPax({ comment: 'c', path: 'evil' }),
    file('a', 'x'),
  ),
  ambiguous(77, 'g with a size', ['pax_global_header 77'], globalPax({ size: '1' }), file('a', 'x')),
];

describe('metadata is refused', () => {
  it.each(titled(METADATA))('%s', (_title, one) => fortress.check(one));
});

describe('metadata is passed over, with one warning', () => {
  it.each(NORMALISED)('%i %s', async (rule, _what, entries) => {
    const { warnings, live } = await fortress.accepted(tar(MANIFEST, ...entries));
    expect(warnings.items).toEqual([
      expect.stringMatching(new RegExp(`^a: .*\\(rule ${rule}\\) \\(note: archive-remark\\)$`)),
    ]);
    expect(live).toEqual(['a', 'plugin.yaml']);
    await fortress.quiet();
  });
});

it('a mode and a time in base-256 are taken as the numbers that they are', async () => {
  const fields = { mode: binary(8, 0x01, 0xed), mtime: binary(12, 0x65, 0x53, 0xf1, 0x00) };
  const { warnings, live } = await fortress.accepted(tar(MANIFEST, file('a', 'x', fields)));
  expect(warnings.items).toEqual([]);
  expect(live).toEqual(['a', 'plugin.yaml']);
});

describe('what can be read in two ways is refused', () => {
  it.each(titled(AMBIGUOUS))('%s', (_title, one) => fortress.check(one));
});
