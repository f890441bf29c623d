import { randomBytes } from 'node:crypto';
import type { Transform } from 'node:stream';
import { finished } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { gzipSync } from 'node:zlib';

import { type TestContext, describe, expect, it } from 'vitest';

import { readable } from '../../agent/archive/decompress.ts';
import { type Case, Fortress, MANIFEST, rulesIn, titled } from '../_kit/fortress.ts';
import { END, file, globalPax, gzip, header, pax, tar, unended } from '../_kit/tar-builder.ts';

const fortress = Fortress.forAll();

const truncate = (bytes: Buffer, missing: number): Buffer => bytes.subarray(0, bytes.length - missing);
const refuses = (n: number, what: string, rules: string[], build: Case['build'], hides = false): Case => ({
  n,
  what,
  code: 'ARCHIVE_CORRUPT',
  rules,
  build,
  hides,
});
const FILE = file('a', 'x'.repeat(600));
/** ZSTD_c_windowLog; this Node may not have its name. */
const ZSTD_C_WINDOW_LOG = 101;
/** An archive whose last bytes do not compress, so that all of it has been read before its gzip turns out bad. */
const packed = (...before: Buffer[]): Buffer => gzip(tar(MANIFEST, ...before, FILE));
const altered = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};

const PLAIN: Case[] = [
  refuses(78, 'cut inside a body', ['a 78'], (...before) =>
    truncate(unended(MANIFEST, ...before, FILE), 600),
  ),
  refuses(78, 'cut inside what fills up a block', ['a 78'], (...before) =>
    truncate(unended(MANIFEST, ...before, FILE), 1),
  ),
  refuses(79, 'cut at an entry boundary', [' 79'], (...before) => unended(MANIFEST, ...before, FILE)),
  refuses(79, 'half of the end-of-archive mark', [' 79'], (...before) =>
    truncate(tar(MANIFEST, ...before, FILE), 512),
  ),
  refuses(79, 'a pax header that belongs to nothing', [' 79'], (...before) =>
    tar(MANIFEST, ...before, pax({ path: 'b' })),
  ),
  refuses(80, 'cut inside a header', [' 80'], (...before) =>
    truncate(unended(MANIFEST, ...before, FILE), 1024 + 100),
  ),
  refuses(81, 'bytes after the end', [' 81'], (...before) =>
    Buffer.concat([tar(MANIFEST, ...before), Buffer.from('x')]),
  ),
  refuses(81, 'bytes after the end and many zeros', [' 81'], (...before) =>
    Buffer.concat([tar(MANIFEST, ...before), Buffer.alloc(300_000), Buffer.alloc(512, 'x')]),
  ),
  refuses(81, 'zeros after the end that are no whole block', [' 81'], (...before) =>
    Buffer.concat([tar(MANIFEST, ...before), Buffer.alloc(100)]),
  ),
  refuses(82, 'an entry after the end', ['late 82'], (...before) =>
    Buffer.concat([tar(MANIFEST, ...before), file('late', 'x'), END]),
  ),
  refuses(83, 'a lone zero block in the middle', [' 83'], (...before) =>
    tar(MANIFEST, ...before, Buffer.alloc(512), FILE),
  ),
  refuses(84, 'an empty archive', [' 84'], () => END, true),
  refuses(84, 'an archive of nothing but a comment', [' 84'], () => tar(globalPax({ comment: 'c' })), true),
  refuses(85, 'not a tar', [' 85'], () => Buffer.from('this is a text and no archive\n'.repeat(100)), true),
  refuses(85, 'a zip', [' 85'], () => Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(600)]), true),
  refuses(85, 'three bytes', [' 85'], () => Buffer.from('abc'), true),
  refuses(85, 'less than a header', [' 85'], () => Buffer.from('short text'), true),
  refuses(85, 'a magic that no tar has', ['a 85'], () => tar(header({ name: 'a', magic: 'usta! ' })), true),
];

const COMPRESSED: Case[] = [
  refuses(86, 'gzip cut', [' 86'], () => truncate(gzipSync(tar(MANIFEST, FILE), { level: 0 }), 1500), true),
  refuses(87, 'gzip without its trailer', [' 87'], (...before) => truncate(packed(...before), 8)),
  refuses(87, 'gzip without the last byte', [' 87'], (...before) => truncate(packed(...before), 1)),
  refuses(88, 'a bad CRC', [' 88'], () => altered(packed(), packed().length - 6), true),
  refuses(88, 'a bad length', [' 88'], () => altered(packed(), packed().length - 1), true),
  refuses(88, 'an altered byte', [' 88'], () => altered(packed(), 20), true),
  refuses(90, 'bytes after the gzip', [' 90'], () => Buffer.concat([packed(), Buffer.from('garbage')]), true),
  refuses(90, 'bytes behind zeros after the gzip', [' 90'], (...before) =>
    Buffer.concat([packed(...before), Buffer.from('\0evil')]),
  ),
  refuses(90, 'a byte behind many zeros after the gzip', [' 90'], (...before) =>
    Buffer.concat([packed(...before), Buffer.alloc(200_000), Buffer.from('x')]),
  ),
  refuses(90, 'another archive behind zeros after the gzip', [' 90'], (...before) =>
    Buffer.concat([packed(...before), Buffer.alloc(8), packed(...before)]),
  ),
  refuses(91, 'gzip in gzip', [' 91'], () => gzip(packed()), true),
  ...['fd377a585a00', '425a6839', '04224d18', '4c5a4950', '1f9d9000'].map((magic) =>
    refuses(
      92,
      `a compression this build cannot read (${magic})`,
      [' 92'],
      () => Buffer.from(magic.padEnd(64, '0'), 'hex'),
      true,
    ),
  ),
];

describe('a damaged tar is refused', () => {
  it.each(titled(PLAIN))('%s', (_title, one) => fortress.check(one));
  // What is named beside it does not depend on the compression.
  it.each(titled(PLAIN))('%s, in gzip', (_title, one) =>
    fortress.check({ ...one, build: () => gzip(one.build()), hides: true }),
  );
});

describe('a damaged compression is refused', () => {
  it.each(titled(COMPRESSED))('%s', (_title, one) => fortress.check(one));

  it('92 zstd where this Node has none, saying what is read', async (ctx) => {
    if (readable().includes('zstd')) ctx.skip('this Node reads zstd');
    const { violations } = await fortress.refusal(Buffer.from('28b52ffd'.padEnd(64, '0'), 'hex'));
    expect(violations).toEqual([
      expect.objectContaining({ rule: 92, what: expect.stringContaining('gzip') }),
    ]);
  });

  it.each([1, 10, 512, 70_000, 3_000_000])('90 zeros after the gzip are padding (%i)', async (bytes) => {
    const { live } = await fortress.accepted(Buffer.concat([packed(), Buffer.alloc(bytes)]));
    expect(live).toEqual(['a', 'plugin.yaml']);
  });

  it('89 has no case: several gzip members are one archive', async () => {
    const whole = tar(MANIFEST, FILE);
    const { live } = await fortress.accepted(
      gzip(whole.subarray(0, 700), Buffer.alloc(0), whole.subarray(700)),
    );
    expect(live).toEqual(['a', 'plugin.yaml']);
  });
});

describe('zstd, where this Node has it', () => {
  type Compress = (bytes: Buffer, options?: { params: Record<number, number> }) => Buffer;
  const zstd = (ctx: Pick<TestContext, 'skip'>, bytes: Buffer, windowLog = 20): Buffer =>
    'zstdCompressSync' in zlib
      ? (zlib.zstdCompressSync as Compress)(bytes, { params: { [ZSTD_C_WINDOW_LOG]: windowLog } })
      : ctx.skip('this Node has no zstd');

  it('is read', async (ctx) => {
    expect((await fortress.accepted(zstd(ctx, tar(MANIFEST, FILE)))).live).toEqual(['a', 'plugin.yaml']);
    await fortress.quiet();
  });

  it.for<[title: string, rule: number, change: (bytes: Buffer) => Buffer]>([
    ['86 cut', 86, (bytes) => truncate(bytes, 20)],
    ['90 with bytes after it', 90, (bytes) => Buffer.concat([bytes, Buffer.from('garbage')])],
  ])('%s', async ([, rule, change], ctx) => {
    const fault = await fortress.refusal(change(zstd(ctx, tar(MANIFEST, FILE))));
    expect([fault.code, rulesIn(fault)]).toEqual(['ARCHIVE_CORRUPT', [` ${rule}`]]);
  });

  /** Whether this Node reads on after the first frame; the oldest that have zstd stop there. */
  const readsAll = async (frames: readonly Buffer[]): Promise<boolean> => {
    if (!('createZstdDecompress' in zlib)) return false;
    const decompressor = (zlib.createZstdDecompress as () => Transform & { bytesWritten: number })();
    decompressor.end(Buffer.concat(frames));
    await finished(decompressor.resume());
    return decompressor.bytesWritten === Buffer.concat(frames).length;
  };

  it('of several frames is read whole or refused as 90, never read in part', async (ctx) => {
    const whole = tar(MANIFEST, FILE);
    const frames = [whole.subarray(0, 512), whole.subarray(512)].map((part) => zstd(ctx, part));
    const together = Buffer.concat(frames);
    if (!(await readsAll(frames))) {
      const fault = await fortress.refusal(together);
      expect([fault.code, rulesIn(fault)]).toEqual(['ARCHIVE_CORRUPT', [' 90']]);
      return;
    }
    for (const [bytes, rule] of [
      [truncate(together, 20), 86],
      [Buffer.concat([together, Buffer.from('garbage')]), 90],
    ] as const) {
      const fault = await fortress.refusal(bytes);
      expect([fault.code, rulesIn(fault)]).toEqual(['ARCHIVE_CORRUPT', [` ${rule}`]]);
    }
    const { tree, live } = await fortress.accepted(together);
    expect(live).toEqual(['a', 'plugin.yaml']);
    expect((await fortress.accepted(gzip(whole), { force: true })).tree).toBe(tree);
  });

  it('92 with a window beyond 8 MiB is refused, for it would take that much memory', async (ctx) => {
    const noise = file('noise', randomBytes(12 * 1024 * 1024));
    const fault = await fortress.refusal(zstd(ctx, tar(MANIFEST, noise), 25));
    expect([fault.code, rulesIn(fault)]).toEqual(['ARCHIVE_CORRUPT', [' 92']]);
    expect(fault.violations?.[0]?.what).toContain('too much memory');
  });

  it('93 is held to the ratio', async (ctx) => {
    const fault = await fortress.refusal(zstd(ctx, tar(MANIFEST, file('z', Buffer.alloc(8 * 1024 * 1024)))));
    expect([fault.code, rulesIn(fault)]).toEqual(['LIMIT_RATIO', [' 93']]);
  });
});
