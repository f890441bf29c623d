import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { realRoot, sha256, yamlOf } from '../_kit/install-room.ts';
import { accepted } from '../_kit/staging.ts';
import {
  directory,
  entry,
  file,
  globalPax,
  longLink,
  longName,
  pax,
  symlink,
  tar,
  unended,
} from '../_kit/tar-builder.ts';

const MANIFEST = file('plugin.yaml', yamlOf());

describe('what an archive holds lands in the slot', () => {
  it('with its content, its size and its digest', () => {
    const { staged, inside, escaped } = accepted(tar(MANIFEST, file('rules/a.md', 'be brief')));
    expect(staged.files).toEqual([
      { path: 'plugin.yaml', size: yamlOf().length, mode: '644', sha256: sha256(yamlOf()) },
      { path: 'rules/a.md', size: 8, mode: '644', sha256: sha256('be brief') },
    ]);
    expect(inside).toEqual({
      '': 'directory 755',
      '/plugin.yaml': `file 644 ${yamlOf()}`,
      '/rules': 'directory 755',
      '/rules/a.md': 'file 644 be brief',
    });
    expect([staged.directories, staged.findings, staged.skipped]).toEqual([['rules'], [], []]);
    expect(escaped).toBe(false);
  });

  it.each([1, 7, 511, 512, 513, 1000])('also if it comes in pieces of %i bytes', (pieceBytes) => {
    const big = 'x'.repeat(3000);
    const bytes = tar(
      longName(`${'d/'.repeat(12)}${'n'.repeat(120)}`),
      file('cut', big),
      file('empty'),
      MANIFEST,
    );
    const { staged } = accepted(bytes, { pieceBytes });
    expect(staged.files.map(({ path, size }) => [path, size])).toEqual([
      [`${'d/'.repeat(12)}${'n'.repeat(120)}`, 3000],
      ['empty', 0],
      ['plugin.yaml', yamlOf().length],
    ]);
    expect(staged.files[0]?.sha256).toBe(sha256(big));
  });

  it.each<[mode: number, kept: string]>([
    [0o644, '644'],
    [0o755, '755'],
    [0o600, '644'],
    [0o700, '755'],
    [0o100, '755'],
    [0o666, '644'],
    [0o777, '755'],
    [0o655, '644'],
    [0o000, '644'],
    [0o1755, '755'],
  ])("with the mode %o as %s: only the owner's execute bit counts", (mode, kept) => {
    const { staged, inside } = accepted(tar(file('a', 'x', { mode })));
    expect(staged.files[0]?.mode).toBe(kept);
    expect(inside['/a']).toBe(`file ${kept} x`);
  });

  it.each([0o000, 0o700, 0o777, 0o2755, 0o6755])(
    'with directories of 755, whatever they say (%o)',
    (mode) => {
      const { inside } = accepted(tar(directory('a/', { mode }), file('a/b', 'x')));
      expect(inside['/a']).toBe('directory 755');
    },
  );

  it('with the directories that no entry names, and the empty ones, parents first', () => {
    const { staged, inside } = accepted(
      tar(file('a/b/c', 'x'), directory('a/b'), directory('a/e/'), directory('z/')),
    );
    expect(staged.directories).toEqual(['a', 'a/b', 'a/e', 'z']);
    expect(Object.keys(inside)).toContain('/z');
  });

  it('without the owner, the time and the extended attributes of the archive', () => {
    const attributes = pax({ 'SCHILY.xattr.user.evil': 'x', mtime: '1.5', uid: '4242' });
    const { room, slot } = accepted(tar(attributes, file('a', 'x', { uid: 4242, gid: 4242, mtime: 0 })));
    const stat = room.context.disk.stat(`${slot}/a`);
    expect(stat?.uid).toBe(process.getuid?.());
    expect(stat?.mtimeMs).toBeGreaterThan(Date.now() - 60_000);
  });
});

describe('archives of every usual packer are accepted', () => {
  const paths = (bytes: Buffer): string[] => accepted(bytes).staged.files.map(({ path }) => path);
  const long = `skills/${'very-long-name-'.repeat(10)}/SKILL.md`;
  const wide = `skills/${'長い名前'.repeat(20)}/SKILL.md`;

  it('with ./ before each path, and ./ itself', () => {
    expect(paths(tar(directory('./'), file('./a', 'x'), directory('./b/'), file('./b/c', 'y')))).toEqual([
      'a',
      'b/c',
    ]);
  });

  it('git archive: a global header that carries only a comment', () => {
    expect(paths(tar(globalPax({ comment: 'a'.repeat(40) }), file('a', 'x')))).toEqual(['a']);
  });

  it('GNU tar: long names by L, with K before a link', () => {
    const link = Buffer.concat([longLink('t'.repeat(200)), symlink('link', 't'.repeat(100))]);
    expect(
      paths(tar(longName(long), file(long.slice(0, 100), 'x'), link, longName(wide), file('cut', 'y'))),
    ).toEqual([long, wide]);
  });

  it('pax: long names by x, of any alphabet', () => {
    expect(
      paths(tar(pax({ path: long }), file('cut', 'x'), pax({ path: wide, mtime: '1.25' }), file('cut', 'y'))),
    ).toEqual([long, wide]);
  });

  // Was a bug: node-tar decodes a header piece by piece; a letter that was cut in two made it drop the name.
  it.each([64, 513, 777, 1025, 1500, 2000])(
    'pax and GNU: long names that come cut in two (%i)',
    (pieceBytes) => {
      const name = `skills/${'長'.repeat(80)}/${'名'.repeat(80)}/${'前'.repeat(80)}/SKILL.md`;
      const bytes = tar(pax({ path: name }), file('cut', 'x'), longName(`${name}.md`), file('cut', 'y'));
      const { staged } = accepted(bytes, { pieceBytes });
      expect(staged.files.map(({ path }) => path)).toEqual([name, `${name}.md`]);
    },
  );

  it('ustar: a name in two fields', () => {
    expect(paths(tar(file('SKILL.md', 'x', { prefix: 'skills/house' })))).toEqual(['skills/house/SKILL.md']);
  });

  it('v7: no magic, and a directory that is told by its slash', () => {
    const old = { magic: '\0'.repeat(6), version: '\0\0', type: '\0' };
    const { staged } = accepted(
      tar(entry({ ...old, name: 'd/' }), file('d/a', 'x', old), file('7', 'y', old)),
    );
    expect(staged.files.map(({ path }) => path)).toEqual(['d/a', '7']);
  });

  it('with blocks of zeros up to a full record', () => {
    expect(paths(Buffer.concat([tar(file('a', 'x')), Buffer.alloc(8192)]))).toEqual(['a']);
    expect(paths(Buffer.concat([tar(file('a', 'x')), Buffer.alloc(1024 * 1024)]))).toEqual(['a']);
  });

  it('the tar of this machine, and what it reads out of the tree', (ctx) => {
    const root = dirname(realRoot());
    mkdirSync(join(root, 'plugin', 'rules', 'd'.repeat(120)), { recursive: true });
    writeFileSync(join(root, 'plugin', 'plugin.yaml'), yamlOf());
    writeFileSync(join(root, 'plugin', 'rules', 'd'.repeat(120), 'ä.md'), 'x', { mode: 0o755 });
    const made = spawnSync('tar', ['-C', join(root, 'plugin'), '-cf', '-', '.'], { maxBuffer: 1 << 24 });
    if (made.error !== undefined || made.status !== 0) {
      ctx.skip('there is no tar on this machine');
    }
    const { staged } = accepted(made.stdout);
    expect(staged.files.map(({ path, mode }) => `${mode} ${path}`).toSorted()).toEqual([
      '644 plugin.yaml',
      `755 rules/${'d'.repeat(120)}/ä.md`,
    ]);
  });
});

describe('what is no part of a plugin is left out, named, and no reason to refuse', () => {
  it("caches, desktop litter and editors' files", () => {
    const { staged, inside } = accepted(
      tar(
        MANIFEST,
        directory('hooks/__pycache__/'),
        file('hooks/__pycache__/a.txt'),
        file('hooks/a.pyc'),
        file('.DS_Store'),
        file('rules/.a.md.swp'),
        file('a~'),
      ),
    );
    const out = [
      'hooks/__pycache__',
      'hooks/__pycache__/a.txt',
      'hooks/a.pyc',
      '.DS_Store',
      'rules/.a.md.swp',
      'a~',
    ];
    expect(staged.skipped).toEqual(out);
    expect(staged.findings.map(({ path }) => path)).toEqual(out);
    expect(Object.keys(inside)).toEqual(['', '/plugin.yaml']);
  });

  it('what the owner adds', () => {
    const { staged } = accepted(tar(MANIFEST, file('node_modules/a/b.js'), file('a.log')), {
      policy: { ignore: ['node_modules', '*.log'] },
    });
    expect(staged.files.map(({ path }) => path)).toEqual(['plugin.yaml']);
  });

  it("a .complete at the root: it is never the archive's to set", () => {
    const { staged, inside } = accepted(
      tar(MANIFEST, file('.complete', 'forged'), file('a/.complete', 'kept')),
    );
    expect(inside).not.toHaveProperty('/.complete');
    expect(inside['/a/.complete']).toBe('file 644 kept');
    expect(staged.findings).toMatchObject([{ path: '.complete' }]);
  });

  // Was a bug: the directory was left out, what lies in it was not, and hashing the installed tree left out both.
  it('but not a directory whose name only a file must not have', () => {
    const { staged, inside } = accepted(
      tar(directory('old~/'), file('old~/a.md', 'x'), file('4913/b.md', 'y')),
    );
    expect(staged.files.map(({ path }) => path)).toEqual(['old~/a.md', '4913/b.md']);
    expect(staged.findings).toEqual([]);
    expect(inside['/old~/a.md']).toBe('file 644 x');
  });
});

describe('what packers and desktops add', () => {
  const ATTRIBUTES = Buffer.from([0x00, 0x05, 0x16, 0x07, 0x00, 0x02, 0x00, 0x00]);
  const LITTER = [
    file('._package', ATTRIBUTES),
    file('__MACOSX/._a', ATTRIBUTES),
    file('__MACOSX/package/b', 'x'),
    file('Thumbs.db', 'x'),
    file('package/Desktop.ini', 'x'),
    file('package/.nfs000000000123', 'x'),
    file('package/.fuse_hidden0000004b', 'x'),
    file('package/._plugin.yaml', ATTRIBUTES),
  ];

  it('is left out and named, also beside a single top directory', () => {
    const { staged, inside } = accepted(
      tar(...LITTER, file('package/plugin.yaml', yamlOf()), file('package/a', 'x')),
    );
    expect(staged.top).toBe('package');
    expect(staged.files.map(({ path }) => path)).toEqual(['package/plugin.yaml', 'package/a']);
    expect(staged.skipped.length).toBe(LITTER.length);
    expect(staged.links).toEqual([]);
    expect(Object.keys(inside)).toEqual(['', '/package', '/package/a', '/package/plugin.yaml']);
  });

  it('is a file of the plugin where only its name says so', () => {
    const bytes = tar(
      MANIFEST,
      file('._notes', 'text'),
      file('._', ''),
      file('.nfs', 'x'),
      file('a._b', ATTRIBUTES),
    );
    expect(accepted(bytes).staged.files.map(({ path }) => path)).toEqual([
      'plugin.yaml',
      '._notes',
      '._',
      '.nfs',
      'a._b',
    ]);
  });

  it.each(['/', '//', '////', '.', './', './.', '/./'])('a directory called "%s" is the root', (name) => {
    const { staged } = accepted(tar(directory(name), MANIFEST));
    expect([staged.directories, staged.files.length, staged.findings]).toEqual([[], 1, []]);
  });
});

describe('an archive without its end', () => {
  it('is not one: see the refusals', () => {
    expect(() => accepted(unended(MANIFEST))).toThrow(/end-of-archive/);
  });
});
