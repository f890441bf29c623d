import { describe, expect, it } from 'vitest';

import { yamlOf } from '../_kit/install-room.ts';
import { refused } from '../_kit/staging.ts';
import {
  END,
  directory,
  entry,
  file,
  hardlink,
  longName,
  pax,
  symlink,
  tar,
  unended,
} from '../_kit/tar-builder.ts';

const MANIFEST = file('plugin.yaml', yamlOf());

describe('an archive is refused for a path', () => {
  it.each<[rule: number, what: string, entry: Buffer]>([
    [1, 'a step out', file('../evil', 'x')],
    [1, 'a directory that is a step out', directory('../evil/')],
    [2, 'a way in and out', file('a/../../evil', 'x')],
    [4, 'an absolute path', file('/tmp/airlock-evil', 'x')],
    [1, "a step out in GNU's long name", Buffer.concat([longName('../../evil'), file('fine', 'x')])],
    [1, 'a step out in a pax path', Buffer.concat([pax({ path: '../../evil' }), file('fine', 'x')])],
    [10, 'a backslash', file('rules\\a.md', 'x')],
    [17, 'bytes that are no UTF-8', file('a', 'x', { name: Buffer.from([0x61, 0xff, 0xfe]) })],
    [
      17,
      'bytes that are no UTF-8 in a pax path',
      Buffer.concat([pax({ path: Buffer.from([0x61, 0xff]) }), file('a')]),
    ],
    [23, 'a reserved name', file('.staging/lint.x/evil', 'x')],
  ])('rule %i: %s', (rule, _what, bad) => {
    const { fault, rules, outcome } = refused(tar(MANIFEST, bad, file('after', 'x'), directory('later/')));
    expect(fault.code).toBe('ARCHIVE_PATH');
    expect(rules.map((text) => text.split(' ').at(-1))).toContain(String(rule));
    expect(outcome.escaped).toBe(false);
    // Nothing is written from the first violation on.
    expect(Object.keys(outcome.inside)).toEqual(['', '/plugin.yaml']);
  });

  it('rule 11: a step out in the prefix of a ustar header', () => {
    const { rules, outcome } = refused(tar(file('evil', 'x', { prefix: '..' })));
    expect(rules).toEqual(['../evil 11']);
    expect(outcome.escaped).toBe(false);
  });

  it('rule 71: a pax path whose length is another than it says, which would be passed over', () => {
    const { fault, rules } = refused(tar(pax(Buffer.from('13 path=other\n')), file('a', 'x')));
    expect([fault.code, rules]).toEqual(['ARCHIVE_AMBIGUOUS', ['PaxHeader 71']]);
  });

  it('of a link too, though none is made', () => {
    expect(refused(tar(MANIFEST, symlink('../evil', 'x'))).rules).toEqual(['../evil 1']);
  });
});

describe('an archive is refused for a collision', () => {
  it.each<[rule: number, what: string, entries: Buffer[]]>([
    [25, 'the same path twice', [file('a', 'x'), file('a', 'x')]],
    [26, 'the same path spelled otherwise', [file('a/./b', 'x'), file('a/b', 'x')]],
    [27, 'a difference only in case', [file('A', 'x'), file('a', 'x')]],
    [29, 'a file below a file', [file('a', 'x'), file('a/b', 'x')]],
    [30, 'a file for a directory', [directory('a/'), file('a', 'x')]],
    [31, 'a file for a directory that holds something', [file('a/b', 'x'), file('a', 'x')]],
    // Were bugs: links claimed no place, so that readers who follow them saw another tree.
    [25, 'a file where a link was', [symlink('a', 'plugin.yaml'), file('a', 'x')]],
    [25, 'a link where a file was', [file('a', 'x'), hardlink('a', 'plugin.yaml')]],
    [31, 'a link where a directory was', [file('a/b', 'x'), symlink('a', '/etc')]],
  ])('rule %i: %s', (rule, _what, entries) => {
    const { fault, rules } = refused(tar(MANIFEST, ...entries));
    expect([fault.code, rules.map((text) => text.split(' ').at(-1))]).toEqual([
      'ARCHIVE_COLLISION',
      [String(rule)],
    ]);
  });
});

describe('an archive is refused for what an entry is', () => {
  it.each([
    ['3', 44, 'a character device'],
    ['4', 45, 'a block device'],
    ['6', 46, 'a FIFO'],
    ['7', 47, 'a contiguous file'],
    ['S', 48, 'a sparse file'],
    ['M', 50, 'a continuation of another volume'],
    ['V', 51, 'a label'],
    ['D', 52, 'a GNU directory dump'],
    ['Z', 53, 'a type that nobody knows'],
  ])('%s: rule %i, %s', (type, rule) => {
    const { fault, rules, outcome } = refused(
      tar(MANIFEST, entry({ name: 'odd', type }), file('after', 'x')),
    );
    expect([fault.code, fault.violations[0]?.path]).toEqual(['ARCHIVE_TYPE', 'odd']);
    expect(rules.map((text) => Number(text.split(' ').at(-1)))).toEqual([rule]);
    expect(Object.keys(outcome.inside)).toEqual(['', '/plugin.yaml']);
  });

  it('rule 38: it leads through a link', () => {
    const bytes = tar(symlink('y', '..'), file('y/evil', 'x'), directory('y/d/'), symlink('y/z', 'x'));
    const { fault, rules, outcome } = refused(bytes);
    expect([fault.code, rules]).toEqual(['ARCHIVE_TYPE', ['y/evil 38', 'y/d 38', 'y/z 38']]);
    expect(outcome.escaped).toBe(false);
  });

  it('rule 38: also through a link further up, and a hard one', () => {
    expect(refused(tar(symlink('y', '/'), file('y/a/b/c', 'x'))).rules).toEqual(['y/a/b/c 38']);
    expect(refused(tar(hardlink('y', 'z'), file('y/a', 'x'))).rules).toEqual(['y/a 38']);
  });

  it('any link, where links are refused, and then all of them', () => {
    const { fault, rules } = refused(tar(MANIFEST, symlink('a', '/etc'), hardlink('b', 'plugin.yaml')), {
      links: 'refuse',
    });
    expect([fault.code, rules]).toEqual(['ARCHIVE_TYPE', ['a 32', 'b 41']]);
  });

  // Was a bug: a target of a megabyte stood in the error, a hundred times over.
  it('and the error stays small, however long a link target is', () => {
    const links = Array.from({ length: 50 }, (_, i) =>
      Buffer.concat([pax({ linkpath: 't'.repeat(100_000) }), symlink(`l${i}`, 't')]),
    );
    const { fault } = refused(tar(...links), { links: 'refuse' });
    expect(JSON.stringify(fault.toData()).length).toBeLessThan(64 * 1024);
  });

  it.each([0o4755, 0o2644, 0o6755])('rule 55: setuid or setgid on a file (%o)', (mode) => {
    const { fault, rules, outcome } = refused(tar(file('a', 'x', { mode })));
    expect([fault.code, rules]).toEqual(['ARCHIVE_METADATA', ['a 55']]);
    expect(Object.keys(outcome.inside)).toEqual(['']);
  });
});

describe('a refusal', () => {
  it('names every violation, in the order of the archive, and takes its code from the first', () => {
    const { fault, rules } = refused(
      tar(
        MANIFEST,
        file('a', 'x'),
        file('a', 'x'),
        file('../out', 'x'),
        symlink('l', '/'),
        file('l/x', 'x'),
        entry({ name: 'fifo', type: '6' }),
        file('su', 'x', { mode: 0o4755 }),
        file('CON/f:ads', 'x'),
      ),
    );
    expect(rules).toEqual(['a 25', '../out 1', 'l/x 38', 'fifo 46', 'su 55', 'CON/f:ads 18', 'CON/f:ads 19']);
    expect([fault.code, fault.retry, fault.violationsTotal]).toEqual(['ARCHIVE_COLLISION', 'never', 7]);
    expect(fault.violations.every(({ what, code }) => what !== '' && code.startsWith('ARCHIVE_'))).toBe(true);
  });

  it('counts all of them and carries a hundred', () => {
    const { fault } = refused(tar(...Array.from({ length: 300 }, (_, i) => file(`../${i}`))));
    expect([fault.violations.length, fault.violationsTotal]).toEqual([100, 300]);
  });

  it("shows a stranger's bytes only escaped", () => {
    const { rules } = refused(tar(Buffer.concat([pax({ path: 'a\u001B[2Jb' }), file('x')])));
    expect(rules).toEqual(['a\\u001b[2Jb 15']);
  });
});

describe('an archive that is damaged or none is refused', () => {
  const why = (bytes: Buffer): string => {
    const { fault } = refused(bytes);
    return `${fault.code} ${fault.message}`;
  };
  const two = unended(MANIFEST, file('a', 'x'.repeat(600)));

  it.each<[what: string, bytes: Buffer]>([
    ['no tar at all', Buffer.from('this is a text and no archive\n'.repeat(100))],
    ['fewer bytes than a header', Buffer.from('short')],
    ['nothing but its end', END],
    ['a cut inside a body', two.subarray(0, two.length - 600)],
    ['a cut inside the last block', two.subarray(0, two.length - 1)],
    ['a cut inside a header', two.subarray(0, 1024 + 100)],
    ['a cut between two entries', two.subarray(0, 1024)],
    ['one block of zeros at the end', Buffer.concat([two, Buffer.alloc(512)])],
    ['an entry after the end', Buffer.concat([tar(MANIFEST), Buffer.alloc(1 << 18), file('late', 'x'), END])],
  ])('%s', (_what, bytes) => {
    expect(why(bytes)).toMatch(/^ARCHIVE_CORRUPT/);
  });
});
