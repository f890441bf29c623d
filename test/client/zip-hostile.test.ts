/** Hostile zips are refused like hostile tars: every rule that one breaks is named, and nothing is written anywhere. */
import { readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { packDirectory } from '../../client/pack/pack.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type ZipPart, zipOf } from '../_kit/zip-builder.ts';
import { base, MANIFEST, packsInScratch } from './packing.ts';

packsInScratch();

const manifest: ZipPart = { name: 'plugin.yaml', body: MANIFEST };

async function refused(bytes: Buffer): Promise<Fault> {
  const file = join(base, 'lint.zip');
  await writeFile(file, bytes);
  const before = await readdir(base);
  const fault = await packDirectory(file, { out: join(base, 'out.tgz') }).then(
    () => new Fault('INTERNAL', 'nothing was thrown'),
    (error: unknown) => error as Fault,
  );
  expect(await readdir(base)).toEqual(before);
  return fault;
}

const broken = async (bytes: Buffer): Promise<string[]> => {
  const { code, violations, message } = await refused(bytes);
  return violations.length === 0
    ? [`${code} ${message}`]
    : violations.map((one) => `${one.rule} ${one.path}`);
};

const cut = (bytes: Buffer, count: number): Buffer => bytes.subarray(0, bytes.length - count);

describe('paths are refused by the rules for tars', () => {
  it.each<[rule: number, name: string | Buffer]>([
    [1, '../x'],
    [2, 'a/../../x'],
    [3, 'a/../b'],
    [4, '/x'],
    [5, '///x'],
    [6, 'C:/x'],
    [7, 'C:x'],
    [8, '//host/x'],
    [10, 'rules\\a.md'],
    [12, ''],
    [13, '.'],
    [14, 'a\0b'],
    [15, 'a\nb'],
    [15, Buffer.from([0x84, 0x1b, 0x5b])],
    [16, 'a\u202Eb'],
    [18, 'aux.md'],
    [19, 'a:b'],
    [20, 'x'.repeat(256)],
    [21, 'x/'.repeat(520) + 'x'],
    [22, 'x/'.repeat(40) + 'x'],
    [23, '.staging/x'],
  ])('rule %i', async (rule, name) => {
    const { violations, code } = await refused(zipOf([manifest, { name }]));
    expect(violations.map((one) => one.rule)).toContain(rule);
    expect(code).toBe('ARCHIVE_PATH');
  });

  it('a name that says it is UTF-8 and is not is refused', async () => {
    expect(await broken(zipOf([manifest, { name: Buffer.from([0x61, 0xff]), flags: 0x8_00 }]))).toEqual([
      '17 a\uFFFD',
    ]);
  });

  it('all of them are named at once', async () => {
    expect(
      await broken(
        zipOf([
          { name: '../x' },
          { name: 'a' },
          { name: 'a' },
          { name: '/y' },
          { name: 'f', mode: 0o104755 },
        ]),
      ),
    ).toEqual(['55 f', '1 ../x', '4 /y', '25 a']);
  });
});

describe('names that collide are refused', () => {
  it.each<[rule: number, names: string[]]>([
    [25, ['a', 'a']],
    [26, ['a/b', 'a/./b']],
    [27, ['a', 'A']],
    [28, ['\u00e4', 'a\u0308']],
    [29, ['a', 'a/b']],
    [30, ['a/', 'a']],
    [31, ['a/b', 'a']],
  ])('rule %i', async (rule, names) => {
    const fault = await refused(zipOf([manifest, ...names.map((name) => ({ name, method: 0 }))]));
    expect(fault).toMatchObject({ code: 'ARCHIVE_COLLISION', violations: [{ rule }] });
  });
});

describe('types and metadata are refused', () => {
  it.each<[rules: string[], part: ZipPart]>([
    [['44 x'], { name: 'x', mode: 0o020644 }],
    [['45 x'], { name: 'x', mode: 0o060644 }],
    [['46 x'], { name: 'x', mode: 0o010644 }],
    [['53 x'], { name: 'x', mode: 0o140644 }],
    [['53 x/'], { name: 'x/', mode: 0o120777, method: 0 }],
    [['55 x'], { name: 'x', mode: 0o104755 }],
    [['74 x/'], { name: 'x/', body: 'abc' }],
    [['92 x'], { name: 'x', flags: 1, body: 'abc' }],
    [['92 x'], { name: 'x', method: 12, body: 'abc' }],
    [['63 x'], { name: 'x', method: 0, body: 'abc', size: 2 }],
  ])('%j', async (rules, part) => {
    expect(await broken(zipOf([manifest, part]))).toEqual(rules);
  });

  it('strong encryption is refused', async () => {
    expect(await refused(zipOf([manifest, { name: 'x', flags: 0x41 }]))).toMatchObject({
      code: 'ARCHIVE_CORRUPT',
    });
  });

  it('a write through a link is refused, wherever the link comes', async () => {
    const link: ZipPart = { name: 'out', body: '/tmp', mode: 0o120777 };
    expect(await broken(zipOf([manifest, link, { name: 'out/x', body: 'x' }]))).toEqual(['38 out/x']);
    expect(await broken(zipOf([manifest, { name: 'out/x', body: 'x' }, link]))).toEqual(['38 out/x']);
    expect(await broken(zipOf([manifest, link, { name: 'out' }]))).toEqual(['25 out']);
  });
});

/** An extra field that gives an entry of one name another one. */
function unicodeField(name: string, other: string): Buffer {
  const field = Buffer.alloc(9);
  field.writeUInt16LE(0x70_75);
  field.writeUInt16LE(5 + Buffer.byteLength(other), 2);
  field.writeUInt8(1, 4);
  field.writeUInt32LE(crc32(name), 5);
  return Buffer.concat([field, Buffer.from(other)]);
}

describe('a zip that two readers read in two ways is refused', () => {
  it.each<[what: string, path: string, part: ZipPart]>([
    ['where the name needs none', 'good', { name: 'evil', extra: unicodeField('evil', 'good'), host: 0 }],
    ['where a name is UTF-8 by its flag', 'ö', { name: 'ä', extra: unicodeField('ä', 'ö') }],
    [
      'where a name is UTF-8 by its system',
      'ä',
      { name: Buffer.from('ä'), extra: unicodeField('ä', 'ö'), flags: 0 },
    ],
    [
      'only before the bytes',
      'e',
      { name: 'e', host: 0, extra: Buffer.alloc(0), local: { extra: unicodeField('e', 'ö') } },
    ],
    [
      'that is another one before the bytes',
      'ä',
      { name: 'e', host: 0, extra: unicodeField('e', 'ä'), local: { extra: unicodeField('e', 'ö') } },
    ],
  ])('a Unicode field with another name, %s', async (_what, path, part) => {
    expect(await broken(zipOf([manifest, part]))).toEqual([`101 ${path}`]);
  });

  it.each(
    Object.entries<ZipPart['local']>({
      name: { name: 'other' },
      checksum: { crc: 1 },
      size: { size: 9 },
      'packed size': { packed: 2 },
      method: { method: 0 },
      encryption: { flags: 1 },
    }),
  )('another %s before the bytes', async (word, local = {}) => {
    const fault = await refused(zipOf([manifest, { name: 'x', body: 'abc', local }]));
    expect(fault).toMatchObject({ code: 'ARCHIVE_AMBIGUOUS', violations: [{ rule: 101, path: 'x' }] });
    expect(fault.message).toContain(`another ${word} than`);
  });

  it.each<[what: string, rules: string[], bytes: () => Buffer]>([
    ['another charset of a name', ['101 ä'], () => zipOf([manifest, { name: 'ä', local: { flags: 0 } }])],
    [
      'a wrong descriptor',
      ['101 x'],
      () => zipOf([manifest, { name: 'x', body: 'abc', descriptor: 'wrong' }]),
    ],
    [
      'no header at all',
      ['101 x'],
      () => {
        const bytes = zipOf([manifest, { name: 'x' }]);
        return bytes.fill(0, bytes.indexOf('PK\x03\x04', 1), bytes.indexOf('PK\x03\x04', 1) + 4);
      },
    ],
    [
      'two entries with one header',
      ['102 y'],
      () => zipOf([manifest, { name: 'y', body: MANIFEST, only: 'central', at: 0 }]),
    ],
    [
      'an entry that only a reader from the front sees',
      ['103 x'],
      () => zipOf([manifest, { name: 'evil', only: 'local' }, { name: 'x' }]),
    ],
    ['the same at the end', ['103 '], () => zipOf([manifest, { name: 'evil', only: 'local' }])],
    [
      'the same at the beginning',
      ['103 plugin.yaml'],
      () => zipOf([{ name: 'evil', only: 'local' }, manifest]),
    ],
    ['bytes between entries', ['103 x'], () => zipOf([manifest, { name: 'x', gap: 'hidden' }])],
    ['bytes before the central directory', ['103 '], () => zipOf([manifest], { gap: 'hidden' })],
    ['fewer entries than there are', ['103 '], () => zipOf([manifest, { name: 'x' }], { count: 1 })],
    ['more entries than there are', ['85 '], () => zipOf([manifest], { count: 2 })],
    ['bytes after its end', ['81 '], () => zipOf([manifest], { suffix: 'more' })],
    ['a zip after a zip', ['103 '], () => Buffer.concat([zipOf([manifest]), zipOf([manifest])])],
    [
      'an end record in its comment',
      ['104 '],
      () => zipOf([manifest], { comment: zipOf([]).toString('latin1') }),
    ],
    [
      'an end record of another size in its comment',
      ['81 '],
      () => zipOf([manifest], { comment: `${zipOf([]).toString('latin1')}xx` }),
    ],
    [
      'bytes after a compressed body',
      ['103 x'],
      () =>
        zipOf([
          manifest,
          { name: 'x', body: 'abc', bytes: Buffer.concat([deflateRawSync('abc'), Buffer.from('hidden')]) },
        ]),
    ],
    [
      'a body that reaches into the central directory',
      ['102 x'],
      () => {
        const bytes = zipOf([manifest, { name: 'x', method: 0, body: 'abc' }]);
        for (const [header, sizes] of [
          ['PK\x03\x04', 18],
          ['PK\x01\x02', 20],
        ] as const) {
          const at = bytes.lastIndexOf(header, undefined, 'latin1') + sizes;
          bytes.writeUInt32LE(30, at);
          bytes.writeUInt32LE(30, at + 4);
        }
        return bytes;
      },
    ],
    [
      'bytes before the locator of a zip64 end record',
      ['103 '],
      () => {
        const bytes = zipOf([manifest], { large: true });
        const at = bytes.indexOf('PK\x06\x07', 0, 'latin1');
        return Buffer.concat([bytes.subarray(0, at), Buffer.from('hidden'), bytes.subarray(at)]);
      },
    ],
    [
      'another number of entries in its zip64 end record',
      ['104 '],
      () => {
        const bytes = zipOf([manifest, { name: 'x' }], { large: true });
        bytes.writeUInt16LE(1, bytes.length - 14);
        bytes.writeUInt16LE(1, bytes.length - 12);
        return bytes;
      },
    ],
    ['several volumes', ['50 '], () => zipOf([manifest], { disk: 1 })],
    [
      'a shifted beginning that begins like a zip',
      ['103 plugin.yaml'],
      () => zipOf([manifest], { prefix: 'PK\x03\x04', shifted: true }),
    ],
    ['the same without new offsets', ['103 '], () => zipOf([manifest], { prefix: 'PK\x03\x04' })],
  ])('%s', async (_what, rules, bytes) => {
    expect(await broken(bytes())).toEqual(rules);
  });

  it('what begins with other bytes is no zip', async () => {
    expect(await refused(zipOf([manifest], { prefix: '#!/bin/sh\n', shifted: true }))).toMatchObject({
      code: 'INVALID_PARAMS',
      message: expect.stringMatching(/neither a directory nor a zip$/),
    });
  });
});

describe('a damaged zip is refused', () => {
  it.each<[what: string, rules: string[], bytes: () => Buffer]>([
    ['nothing in it', ['84 '], () => zipOf([])],
    ['a cut end', ['79 '], () => cut(zipOf([manifest]), 1)],
    ['a cut in the middle', ['79 '], () => cut(zipOf([manifest]), 60)],
    ['a cut comment', ['79 '], () => cut(zipOf([manifest], { comment: 'signed' }), 1)],
    ['a wrong checksum', ['88 x'], () => zipOf([manifest, { name: 'x', body: 'abc', crc: 1 }])],
    [
      'a body that is longer than it says',
      ['88 x'],
      () => zipOf([manifest, { name: 'x', body: 'abc', size: 2 }]),
    ],
    [
      'a body that is shorter than it says',
      ['88 x'],
      () => zipOf([manifest, { name: 'x', body: 'abc', size: 4 }]),
    ],
    [
      'a body that is not compressed',
      ['88 x'],
      () => zipOf([manifest, { name: 'x', body: 'abc', bytes: Buffer.from('\xff\xff\xff') }]),
    ],
    [
      'a body that is cut',
      ['88 x'],
      () => zipOf([manifest, { name: 'x', body: 'abc', bytes: cut(deflateRawSync('abc'), 1) }]),
    ],
    [
      'a broken extra field',
      ['85 '],
      () => zipOf([manifest, { name: 'x', extra: Buffer.from([1, 0, 99, 0]) }]),
    ],
  ])('%s', async (_what, rules, bytes) => {
    expect(await broken(bytes())).toEqual(rules);
  });

  it('a zip in a tar is a file of the plugin, and a tar named as zip is none', async () => {
    expect(await refused(Buffer.from('plugin.yaml'.padEnd(512, '\0')))).toMatchObject({
      code: 'INVALID_PARAMS',
    });
  });
});

it('a zip that is larger than any agent takes is refused before it is read', async () => {
  const file = join(base, 'lint.zip');
  await writeFile(file, zipOf([manifest]));
  await truncate(file, 100 * 1024 * 1024 + 1);
  await expect(packDirectory(file)).rejects.toMatchObject({ code: 'TOO_LARGE' });
});

describe('bombs are refused before their bytes are read', () => {
  const zeros = deflateRawSync(Buffer.alloc(10_000_000));

  it('by the ratio', async () => {
    const bytes = zipOf([manifest, { name: 'x', bytes: zeros, size: 10_000_000 }]);
    expect(await refused(bytes)).toMatchObject({ code: 'LIMIT_RATIO', violations: [{ rule: 93 }] });
  });

  it('by the size, with the violations until then', async () => {
    const part = { bytes: zeros, size: 10_000_000 };
    const many = Array.from({ length: 30 }, (_, i) => ({ name: `${i}`, ...part }));
    const bytes = zipOf([{ name: 'x', mode: 0o104755 }, ...many]);
    expect(await refused(bytes)).toMatchObject({
      code: 'LIMIT_UNPACKED',
      violations: [{ rule: 94 }, { rule: 55 }],
    });
  });

  it('by sizes that are beyond what can be counted', async () => {
    const bytes = zipOf([manifest, { name: 'x', large: true, size: Number.MAX_SAFE_INTEGER }]);
    expect(await refused(bytes)).toMatchObject({ code: 'LIMIT_UNPACKED' });
  });

  it('by a body that is more than it says, at the first byte too many', async () => {
    const bytes = zipOf([manifest, { name: 'x', bytes: zeros, size: 10 }]);
    expect(await broken(bytes)).toEqual(['88 x']);
  });

  it('by the number of entries', async () => {
    const bytes = zipOf([manifest], { count: 50_001 });
    expect(await refused(bytes)).toMatchObject({ code: 'LIMIT_ENTRIES', violations: [{ rule: 95 }] });
  });

  it('by entries that share one body', async () => {
    const copies = Array.from({ length: 20 }, (_, i): ZipPart => ({
      name: `${i}`,
      bytes: zeros,
      size: 1000,
      only: 'central',
      at: 1,
    }));
    const { code, violationsTotal } = await refused(
      zipOf([manifest, { name: 'x', bytes: zeros, size: 1000 }, ...copies]),
    );
    expect([code, violationsTotal]).toEqual(['ARCHIVE_AMBIGUOUS', 20]);
  });

  it('by links to one large file', async () => {
    const links = Array.from({ length: 100 }, (_, i) => ({ name: `${i}`, body: 'x', mode: 0o120777 }));
    const bytes = zipOf([manifest, { name: 'x', method: 0, body: Buffer.alloc(3_000_000) }, ...links]);
    expect(await refused(bytes)).toMatchObject({ code: 'LIMIT_UNPACKED' });
  });
});
