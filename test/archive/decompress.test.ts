import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { Unpacker } from '../../agent/archive/decompress.ts';
import { Fault } from '../../shared/api/fault.ts';
import { sha256 } from '../_kit/install-room.ts';
import { gzip } from '../_kit/tar-builder.ts';

type Unpacked = { plain: Buffer; sha256: string; unpacker: Unpacker };

async function unpack(pieces: Buffer[], maxRatio = 200): Promise<Unpacked> {
  const plain: Buffer[] = [];
  const unpacker = new Unpacker((bytes) => void plain.push(Buffer.from(bytes)), maxRatio);
  for (const piece of pieces) {
    await unpacker.write(piece);
  }
  const digest = await unpacker.end();
  return { plain: Buffer.concat(plain), sha256: digest, unpacker };
}

const cutUp = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

const TEXT = Buffer.from('a plugin is a directory of skills, rules, hooks and adapters\n'.repeat(200));

describe('unpacking gives the plain bytes and the sha256 of the packed ones', () => {
  it.each([1, 2, 3, 5, 512, 100_000])('of gzip that comes in pieces of %i', async (size) => {
    const packed = gzip(TEXT);
    const { plain, sha256: digest, unpacker } = await unpack(cutUp(packed, size));
    expect(plain.equals(TEXT)).toBe(true);
    expect(digest).toBe(sha256(packed));
    expect([unpacker.received, unpacker.failure]).toEqual([packed.length, undefined]);
  });

  it.each([1, 3, 100_000])('of bytes that are not compressed, in pieces of %i', async (size) => {
    const { plain, sha256: digest, unpacker } = await unpack(cutUp(TEXT, size));
    expect(plain.equals(TEXT)).toBe(true);
    expect([digest, unpacker.failure]).toEqual([sha256(TEXT), undefined]);
  });

  it.each([7, 100_000])('of gzip of several members, in pieces of %i', async (size) => {
    const packed = gzip(TEXT, Buffer.alloc(0), Buffer.from('and more'));
    const { plain, unpacker } = await unpack(cutUp(packed, size));
    expect(unpacker.failure).toBeUndefined();
    expect(plain.toString()).toBe(`${TEXT.toString()}and more`);
  });
});

describe('what a write expands to', () => {
  it('reaches the sink without another write, and what is wrong with it is told then', async () => {
    const plain: Buffer[] = [];
    const unpacker = new Unpacker((bytes) => {
      plain.push(Buffer.from(bytes));
      throw new Fault('LIMIT_ENTRIES', 'Too many');
    }, 200);
    await unpacker.write(gzip(TEXT));
    await turn();
    expect(Buffer.concat(plain).equals(TEXT)).toBe(true);
    expect(unpacker.failure?.code).toBe('LIMIT_ENTRIES');
  });

  it('is not all kept until then: the sink has most of it while the write goes on', async () => {
    let out = 0;
    const unpacker = new Unpacker((bytes) => void (out += bytes.length), 10_000);
    const bytes = 64 * 1024 * 1024;
    await unpacker.write(gzipSync(Buffer.alloc(bytes), { level: 9 }));
    expect(out).toBeGreaterThan(bytes / 2);
    await unpacker.end();
    expect([out, unpacker.failure]).toEqual([bytes, undefined]);
  });
});

describe('unpacking refuses', () => {
  const refusal = async (pieces: Buffer[], maxRatio?: number): Promise<string> => {
    const { unpacker, sha256: digest } = await unpack(pieces, maxRatio);
    // Whatever is wrong with the bytes, their digest is told, so that altered ones are named as such.
    expect(digest).toBe(sha256(Buffer.concat(pieces)));
    expect(unpacker.failure).toBeInstanceOf(Fault);
    return `${unpacker.failure?.code}: ${unpacker.failure?.message}`;
  };

  it.each([0, 1, 3])('a bundle of %i bytes', async (size) => {
    expect(await refusal([Buffer.alloc(size, 'x')])).toMatch(/^ARCHIVE_CORRUPT.*fewer than four/);
  });

  it.each([
    ['a zip', Buffer.from('504b030414000000', 'hex'), /zip.*airlock pack/],
    ['xz', Buffer.from('fd377a585a000000', 'hex'), /xz.*gzip/],
  ])('%s, and says how to pack', async (_what, bytes, why) => {
    expect(await refusal([bytes, TEXT])).toMatch(why);
  });

  it.each([1, 10, 50])('gzip that is cut %i bytes before its end', async (missing) => {
    const packed = gzip(TEXT);
    expect(await refusal([packed.subarray(0, packed.length - missing)])).toMatch(
      /^ARCHIVE_CORRUPT.*gzip says/,
    );
  });

  it('gzip with an altered byte in it', async () => {
    const packed = gzip(TEXT);
    packed.writeUInt8(packed.readUInt8(packed.length - 6) ^ 1, packed.length - 6);
    expect(await refusal([packed])).toMatch(/^ARCHIVE_CORRUPT.*gzip says/);
  });

  it.each([
    ['in the same piece', (packed: Buffer) => [Buffer.concat([packed, Buffer.from('garbage')])]],
    ['in a later piece', (packed: Buffer) => [packed, Buffer.from('garbage'), Buffer.from('more')]],
  ])('bytes after the gzip, %s', async (_where, pieces) => {
    expect(await refusal(pieces(gzip(TEXT)))).toMatch(/^ARCHIVE_CORRUPT/);
  });

  it.each([
    ['at once', [gzip(gzip(TEXT))]],
    [
      'where the first member holds one byte of it',
      [gzip(gzip(TEXT).subarray(0, 1)), gzip(gzip(TEXT).subarray(1))],
    ],
  ])('gzip in gzip, %s', async (_how, pieces) => {
    expect(await refusal(pieces)).toMatch(/^ARCHIVE_CORRUPT.*twice/);
  });

  it('a bomb, and lets no more out than it allows', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });
    const plain: number[] = [];
    const unpacker = new Unpacker((bytes) => void plain.push(bytes.length), 20);
    await unpacker.write(bomb);
    expect(await unpacker.end()).toBe(sha256(bomb));
    expect(unpacker.failure?.code).toBe('LIMIT_RATIO');
    expect(plain.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(bomb.length * 20);
  });

  it('nothing that is small, whatever its ratio', async () => {
    const { plain, unpacker } = await unpack([gzip(Buffer.alloc(1024 * 1024))], 2);
    expect([plain.length, unpacker.failure]).toEqual([1024 * 1024, undefined]);
  });
});

describe('what the sink throws', () => {
  it('ends the unpacking: the sink is not called again, and its fault is kept', async () => {
    let calls = 0;
    const unpacker = new Unpacker(() => {
      calls += 1;
      throw new Fault('LIMIT_ENTRIES', 'Too many');
    }, 200);
    const packed = gzip(TEXT);
    for (const piece of [...cutUp(packed, 64), gzip(TEXT)]) {
      await unpacker.write(piece);
    }
    await unpacker.end();
    expect([calls, unpacker.failure?.code]).toEqual([1, 'LIMIT_ENTRIES']);
  });

  it('becomes ARCHIVE_CORRUPT if it is no fault and no error of the disk', async () => {
    const unpacker = new Unpacker(() => {
      throw new TypeError('invalid something');
    }, 200);
    await unpacker.write(TEXT);
    await unpacker.end();
    expect(unpacker.failure?.code).toBe('ARCHIVE_CORRUPT');
    expect(unpacker.failure?.cause).toBeInstanceOf(TypeError);
  });

  it('keeps its meaning if the disk said it: a full disk is no damaged archive', async () => {
    for (const [code, expected] of [
      ['ENOSPC', 'NO_SPACE'],
      ['EROFS', 'READ_ONLY'],
      ['EIO', 'INTERNAL'],
    ]) {
      const unpacker = new Unpacker(() => {
        throw Object.assign(new Error(`${code}: write`), { code });
      }, 200);
      await unpacker.write(TEXT);
      await unpacker.end();
      expect(unpacker.failure?.code).toBe(expected);
    }
  });
});

describe('an unpacker that is stopped', () => {
  it('gives no more bytes and answers every write', async () => {
    let out = 0;
    const unpacker = new Unpacker((bytes) => {
      out += bytes.length;
    }, 200);
    await unpacker.write(gzip(TEXT).subarray(0, 20));
    unpacker.stop();
    const before = out;
    await unpacker.write(gzip(TEXT).subarray(20));
    await unpacker.end();
    expect(out).toBe(before);
  });
});
