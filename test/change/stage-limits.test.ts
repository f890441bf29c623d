import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { refused, stage } from '../_kit/staging.ts';
import { directory, entry, file, hardlink, header, pax, symlink, tar, unended } from '../_kit/tar-builder.ts';

describe('an archive is refused for what it costs', () => {
  const of = (bytes: Buffer, policy: object): string => refused(bytes, { policy }).fault.code;
  const files = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => file(`f${i}`));

  it('one entry more than the limit, though all are empty, ignored, links or refused', () => {
    expect(stage(tar(...files(5)), { policy: { maxEntries: 5 } }).error).toBeUndefined();
    expect(of(tar(...files(6)), { maxEntries: 5 })).toBe('LIMIT_ENTRIES');
    expect(of(tar(...files(5), file('a.pyc')), { maxEntries: 5 })).toBe('LIMIT_ENTRIES');
    expect(of(tar(...files(5), symlink('l', 'x')), { maxEntries: 5 })).toBe('LIMIT_ENTRIES');
    expect(of(tar(...files(5), entry({ name: 'odd', type: 'Z' })), { maxEntries: 5 })).toBe('LIMIT_ENTRIES');
  });

  it('one byte more than the limit, which is never written', () => {
    const big = (last: number): Buffer => tar(file('a', 'x'.repeat(900)), file('b', 'x'.repeat(last)));
    expect(stage(big(100), { policy: { maxUnpacked: 1000 } }).error).toBeUndefined();
    const { fault, outcome } = refused(big(101), { policy: { maxUnpacked: 1000 } });
    expect([fault.code, Object.keys(outcome.inside)]).toEqual(['LIMIT_UNPACKED', ['', '/a']]);
  });

  it('a size that is only declared', () => {
    const liar = unended(header({ name: 'a', size: 0o77777777777 }), Buffer.alloc(512));
    expect(of(liar, {})).toBe('LIMIT_UNPACKED');
  });

  it.each(['-1', 'abc', 'Infinity', '1e400', ''])(
    'a pax size of "%s", without writing more than allowed',
    (size) => {
      const { error, inside, escaped } = stage(tar(pax({ size }), file('a', 'x'.repeat(2000))), {
        policy: { maxUnpacked: 1000 },
      });
      expect(error).toBeDefined();
      expect([escaped, (inside['/a'] ?? '').length < 1100]).toEqual([false, true]);
    },
  );

  // Were bugs: all three cost memory or time without end, for only the sizes of files were counted.
  it('bytes that are in no file: headers, bodies of links, zeros after the end', () => {
    const policy = { maxEntries: 5, maxUnpacked: 1000 };
    const mega = 'x'.repeat(1_000_000);
    const heads = [1, 2, 3].map(() => pax({ comment: mega }));
    expect(of(tar(...heads, file('a', 'x')), policy)).toBe('LIMIT_UNPACKED');
    expect(
      of(tar(file('a', 'x'), symlink('l', 't', { size: 3_000_000 }), Buffer.alloc(3_000_000)), policy),
    ).toBe('LIMIT_UNPACKED');
    expect(of(Buffer.concat([tar(file('a', 'x')), Buffer.alloc(3_000_000)]), policy)).toBe('LIMIT_UNPACKED');
  });

  it('a path that is deeper than the owner allows', () => {
    expect(refused(tar(file('a/b/c/d', 'x')), { policy: { maxDepth: 3 } }).rules).toEqual(['a/b/c/d 22']);
  });
});

describe('whatever an archive holds', () => {
  const name = fc.oneof(
    fc.constantFrom(
      'a',
      'a/b',
      'A',
      '..',
      '../x',
      '/tmp/airlock-evil',
      'y',
      'y/z',
      'y/../..',
      '.complete',
      '.staging/x',
      './a',
    ),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
  );
  const part = fc.oneof(
    fc.tuple(name, fc.string({ maxLength: 600 })).map(
      ([path, text]) =>
        () =>
          file(path, text),
    ),
    name.map((path) => () => directory(path)),
    fc.tuple(name, name).map(
      ([path, to]) =>
        () =>
          symlink(path, to),
    ),
    fc.tuple(name, name).map(
      ([path, to]) =>
        () =>
          hardlink(path, to),
    ),
    fc.tuple(name, name).map(
      ([path, to]) =>
        () =>
          Buffer.concat([pax({ path }), file('x', to)]),
    ),
    fc.tuple(name, fc.string({ maxLength: 1 })).map(
      ([path, type]) =>
        () =>
          entry({ name: path, type }),
    ),
    fc.uint8Array({ maxLength: 1024 }).map((bytes) => () => Buffer.from(bytes)),
  );
  const built = (parts: (() => Buffer)[]): Buffer[] =>
    parts.flatMap((make) => {
      try {
        return [make()];
      } catch {
        return [];
      }
    });

  it('nothing lands outside the slot, and in it only files and directories', () => {
    let landed = 0;
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const { inside, escaped, staged } = stage(tar(...built(parts)), { pieceBytes: 700 });
        landed += staged?.files.length ?? 0;
        expect(escaped).toBe(false);
        expect(Object.values(inside).filter((what) => !/^(file (644|755)|directory 755)/.test(what))).toEqual(
          [],
        );
        expect(inside).not.toHaveProperty('/.staging');
      }),
      { numRuns: 300 },
    );
    expect(landed).toBeGreaterThan(20);
  });
});
