import { describe, expect, it } from 'vitest';

import { Links, type Tree } from '../../agent/archive/link-rules.ts';
import { yamlOf } from '../_kit/install-room.ts';
import { accepted, refused, stage } from '../_kit/staging.ts';
import { directory, file, hardlink, symlink, tar } from '../_kit/tar-builder.ts';

const MANIFEST = file('plugin.yaml', yamlOf());

describe('links are never made', () => {
  const LINKS = [
    symlink('absolute', '/etc/passwd'),
    symlink('escaping', '../../..'),
    symlink('dangling', 'nowhere'),
    symlink('loop', 'loop'),
    symlink('root', '.'),
    symlink('behind', 'inner/..'),
    hardlink('hard-out', '../../outside'),
    hardlink('hard-absolute', '/etc/passwd'),
    hardlink('hard-nothing', 'nothing'),
    hardlink('hard-early', 'rules/late.md'),
    hardlink('hard-directory', 'rules'),
    symlink('inner', 'rules'),
  ];

  it('one that leads to no file or directory of the archive is left out and named', () => {
    const { staged, inside, escaped } = accepted(
      tar(MANIFEST, directory('rules/'), ...LINKS, file('rules/late.md', 'x')),
    );
    const rules = staged.links.map(({ path, rule }) => `${path} ${rule}`);
    expect(rules).toEqual([
      'absolute 32',
      'escaping 33',
      'dangling 35',
      'loop 36',
      'root 36',
      'behind 36',
      'hard-out 40',
      'hard-absolute 39',
      'hard-nothing 42',
      'hard-early 42',
      'hard-directory 42',
    ]);
    expect(staged.skipped).toEqual(staged.links.map(({ path }) => path));
    expect(staged.findings.map(({ rule, path }) => [rule, path])).toEqual(
      staged.skipped.map((path) => ['left-out', path]),
    );
    expect(Object.keys(inside)).toEqual([
      '',
      '/inner',
      '/inner/late.md',
      '/plugin.yaml',
      '/rules',
      '/rules/late.md',
    ]);
    expect(escaped).toBe(false);
  });

  it('one that leads to a file becomes a copy with its mode and content, also of a file that comes later', () => {
    const bytes = tar(
      MANIFEST,
      symlink('early', 'hooks/run.sh'),
      symlink('through', 'early'),
      file('hooks/run.sh', '#!/bin/sh\n', { mode: 0o755 }),
      hardlink('hooks/same.sh', 'hooks/run.sh'),
      hardlink('hooks/again.sh', './hooks/same.sh'),
      symlink('hooks/of-hard.sh', '../hooks/again.sh'),
    );
    const { staged, inside } = accepted(bytes);
    const copies = ['early', 'through', 'hooks/same.sh', 'hooks/again.sh', 'hooks/of-hard.sh'];
    for (const path of copies) expect(inside[`/${path}`]).toBe('file 755 #!/bin/sh\n');
    const digests = new Set(
      staged.files.filter(({ path }) => path !== 'plugin.yaml').map(({ sha256: one }) => one),
    );
    expect([digests.size, staged.files.length, staged.skipped, staged.findings]).toEqual([1, 7, [], []]);
  });

  it('one that leads to a directory becomes a copy of all in it, with the links in it', () => {
    const bytes = tar(
      MANIFEST,
      symlink('skills', 'shared/skills'),
      file('shared/skills/a/SKILL.md', 'a'),
      symlink('shared/skills/a/notes.md', '../../notes.md'),
      symlink('shared/skills/b', 'a'),
      file('shared/notes.md', 'n'),
    );
    const { staged, inside } = accepted(bytes);
    expect(staged.files.map(({ path }) => path).filter((path) => path.startsWith('skills'))).toEqual([
      'skills/a/SKILL.md',
      'skills/a/notes.md',
      'skills/b/SKILL.md',
      'skills/b/notes.md',
    ]);
    expect(inside['/skills/b/notes.md']).toBe('file 644 n');
    expect(staged.findings).toEqual([]);
  });

  it('one that leads to a directory around it is left out, wherever it is met', () => {
    const { staged } = accepted(
      tar(
        MANIFEST,
        file('a/x', 'x'),
        symlink('a/up', '..'),
        symlink('a/b', '../b'),
        file('b/y', 'y'),
        symlink('b/a', '../a'),
      ),
    );
    expect(staged.files.map(({ path }) => path)).toEqual(['plugin.yaml', 'a/x', 'b/y', 'a/b/y', 'b/a/x']);
    const left = ['a/b/a', 'a/up', 'b/a/b', 'b/a/up'];
    expect(staged.links.map(({ path }) => path).toSorted()).toEqual(left);
    expect(new Set(staged.links.map(({ rule }) => rule))).toEqual(new Set([36]));
  });

  it('one beside the only directory is left out: the directory is the plugin', () => {
    const { staged } = accepted(tar(file('package/plugin.yaml', yamlOf()), symlink('latest', 'package')));
    expect([staged.top, staged.links.map(({ path }) => path)]).toEqual(['package', ['latest']]);
  });

  it('none is followed where links are to be left out', () => {
    const { staged } = accepted(
      tar(MANIFEST, symlink('inner', 'plugin.yaml'), hardlink('hard', 'plugin.yaml')),
      { links: 'skip' },
    );
    expect([staged.files.length, staged.skipped]).toEqual([1, ['inner', 'hard']]);
  });

  // Was a bug: the first exceeded the stack, and an empty directory was made in the place of the others.
  it('a hard link to itself, and links to a file that is not part of a plugin, are left out', () => {
    const attributes = file('._x', Buffer.from([0x00, 0x05, 0x16, 0x07]));
    const links = [hardlink('self', 'self'), symlink('soft', '._x'), hardlink('hard', '._x')];
    const { staged, inside } = accepted(tar(MANIFEST, attributes, ...links));
    expect(staged.links.map(({ path, rule }) => `${path} ${rule}`)).toEqual([
      'self 42',
      'soft 35',
      'hard 42',
    ]);
    expect(Object.keys(inside)).toEqual(['', '/plugin.yaml']);
    expect(stage(tar(MANIFEST, ...links), { links: 'refuse' }).error).toMatchObject({ code: 'ARCHIVE_TYPE' });
  });

  it.each(['', 'package/'])('a link to the .complete at the root of the plugin ("%s") is left out', (top) => {
    const marker = file(`${top}.complete`, 'forged');
    const { staged } = accepted(
      tar(file(`${top}plugin.yaml`, yamlOf()), marker, symlink(`${top}l`, '.complete')),
    );
    expect(staged.links.map(({ path, rule }) => `${path} ${rule}`)).toEqual([`${top}l 35`]);
  });

  it('a copy with the name and the content of attributes of macOS is left out like the file itself', () => {
    const { staged } = accepted(
      tar(MANIFEST, file('data', Buffer.from([0x00, 0x05, 0x16, 0x07])), symlink('._d', 'data')),
    );
    expect([staged.files.map(({ path }) => path), staged.skipped]).toEqual([
      ['plugin.yaml', 'data'],
      ['._d'],
    ]);
  });

  it('a copy counts: few links that stand for many files are refused', () => {
    const level = (n: number): Buffer[] =>
      Array.from({ length: 10 }, (_, i) => symlink(`d${n}/l${i}`, `../d${n - 1}`));
    const bytes = tar(MANIFEST, file('d0/f', 'x'), ...[1, 2, 3, 4, 5, 6, 7, 8].flatMap(level));
    expect(stage(bytes, { policy: { maxEntries: 2000 } }).error).toMatchObject({ code: 'LIMIT_ENTRIES' });
    const big = tar(
      MANIFEST,
      file('big', 'x'.repeat(4096)),
      ...level(1).map((_, i) => symlink(`l${i}`, 'big')),
    );
    const { error, inside } = stage(big, { policy: { maxUnpacked: 20_000 } });
    expect(error).toMatchObject({ code: 'LIMIT_UNPACKED' });
    // Before the first of them is written.
    expect(Object.keys(inside)).toEqual(['', '/big', '/plugin.yaml']);
  });

  it('a copy has a place that the rules for paths allow', () => {
    const bytes = tar(
      MANIFEST,
      file('a/b/c/d', 'x'),
      symlink('e', 'a'),
      symlink('a/b/l', '../../deep'),
      file('deep/1/2', 'x'),
    );
    expect(stage(bytes, { policy: { maxDepth: 4 } }).error).toMatchObject({
      code: 'ARCHIVE_PATH',
      violations: [{ rule: 22 }, { rule: 22 }],
    });
  });

  it('and an archive of links alone leaves an empty slot', () => {
    expect(accepted(tar(symlink('a', 'b'))).inside).toEqual({ '': 'directory 755' });
  });
});

describe('links are refused for what it costs to follow them', () => {
  const many = (count: number, link: (i: number) => Buffer): Buffer[] =>
    Array.from({ length: count }, (_, i) => link(i));

  // Was a bug: each link followed all those before it, until the stack was full.
  it('a long chain of hard links is no reason to refuse', () => {
    const links = new Links(() => undefined);
    for (let i = 0; i < 12_000; i += 1) {
      links.add(`l${i + 1}`, { target: `l${i}`, hard: true }, (path) => path === 'l0');
    }
    const tree: Tree = { kindOf: (path) => (path === 'l0' ? 'file' : undefined), namesIn: () => [] };
    const { copies } = links.plan(tree, { top: '', maxEntries: 50_000, maxDepth: 32 });
    expect([copies.length, copies.at(-1)]).toEqual([12_000, { kind: 'file', path: 'l12000', from: 'l0' }]);
  });

  // Were bugs: memory without end, and the stack.
  it('links to nothing in a directory to which many others lead, and directories that lead to each other', () => {
    const nothing = [
      directory('d'),
      ...many(40, (i) => symlink(`d/x${i}`, 'no')),
      ...many(40, (i) => symlink(`l${i}`, 'd')),
    ];
    const { fault, outcome } = refused(tar(...nothing), { policy: { maxEntries: 500 } });
    expect([fault.code, Object.keys(outcome.inside)]).toEqual(['LIMIT_ENTRIES', ['', '/d']]);
    expect(stage(tar(...nothing), { policy: { maxEntries: 2000 } }).staged?.links.length).toBe(41 * 40);
    const nested = many(9, (i) => symlink(`d${i}/l`, `../d${i + 1}`));
    const deep = refused(tar(file('d9/f', 'x'), ...nested), { policy: { maxDepth: 4 } });
    expect(new Set(deep.fault.violations.map(({ rule }) => rule))).toEqual(new Set([22]));
  });

  it('targets of more names than the entries allow', () => {
    const long = many(10, (i) => symlink(`l${i}`, 'x/../'.repeat(19)));
    const loop = many(10, (i) => symlink(`l${i}`, `l${i}${'/x'.repeat(40)}`));
    expect(refused(tar(...loop), { policy: { maxEntries: 20 } }).fault.code).toBe('LIMIT_ENTRIES');
    expect(stage(tar(...long), { policy: { maxEntries: 100 } }).error).toBeUndefined();
  });
});
