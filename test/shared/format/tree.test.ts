import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  type FileEntry,
  compareTrees,
  counts,
  createIgnore,
  modeOf,
  sortFiles,
  treeDigest,
} from '../../../shared/format/tree.ts';

const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const file = (path: string, sha256 = EMPTY, size = 0, mode: FileEntry['mode'] = '644'): FileEntry => ({
  path,
  size,
  mode,
  sha256,
});

// Computed with Python's hashlib from the words of the design, not with this code.
const PLUGIN = [
  file('plugin.yaml', '0a0dad932828699f6b97acc232a3c532c8547c2a5650a203eeb8956ab9a74d58', 11),
  file('hooks/run.sh', 'a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf', 10, '755'),
  file('skills/a/SKILL.md'),
];
const PLUGIN_DIGEST = 'sha256:c1fc8b781c848ac47055e573593714da20f3abb041774cad5ee406baa9579447';

describe('the tree digest', () => {
  test('has the known value of three files', () => {
    expect(treeDigest(PLUGIN)).toBe(PLUGIN_DIGEST);
  });

  test('has the known value of no file, which is that of nothing', () => {
    expect(treeDigest([])).toBe(`sha256:${EMPTY}`);
  });

  test('sorts by UTF-8 bytes, in which U+FF5E goes before U+1F600, as it does not in UTF-16', () => {
    const list = [
      file('\u{1F600}.md', '3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d', 1),
      file('\uFF5E.md', 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 1),
      file('a/b'),
      file('a'),
      file('Z'),
    ];
    expect(list.map(({ path }) => path).toSorted()).not.toEqual(sortFiles(list).map(({ path }) => path));
    expect(sortFiles(list).map(({ path }) => path)).toEqual(['Z', 'a', 'a/b', '\uFF5E.md', '\u{1F600}.md']);
    expect(treeDigest(list)).toBe('sha256:02636b869e2ffd5c98614740cfb5314bbb031095240cf3f86528b16fce91a14f');
  });

  test('does not depend on the order of the list, and does not change it', () => {
    const before = structuredClone(PLUGIN);
    fc.assert(
      fc.property(fc.shuffledSubarray(PLUGIN, { minLength: 3 }), (list) => {
        expect(treeDigest(list)).toBe(PLUGIN_DIGEST);
      }),
    );
    expect(PLUGIN).toEqual(before);
  });

  test.each([
    ['path', file('skills/b/SKILL.md')],
    ['mode', file('skills/a/SKILL.md', EMPTY, 0, '755')],
    ['size', file('skills/a/SKILL.md', EMPTY, 1)],
    ['sha256', file('skills/a/SKILL.md', 'f'.repeat(64))],
  ])('depends on the %s of each file', (_, changed) => {
    expect(treeDigest([...PLUGIN.slice(0, 2), changed])).not.toBe(PLUGIN_DIGEST);
  });
});

test('of a mode only the execute bit of the owner survives', () => {
  expect([0o644, 0o600, 0o655, 0o666, 0o100755, 0o700, 0o4755, 0o100].map(modeOf)).toEqual([
    '644',
    '644',
    '644',
    '644',
    '755',
    '755',
    '755',
    '755',
  ]);
});

describe('ignored', () => {
  const ignore = createIgnore();

  test.each([
    '__pycache__/a.cpython-312.pyc',
    'hooks/__pycache__',
    'hooks/__pycache__/deep/x.txt',
    'a.pyc',
    'rules/.DS_Store',
    'rules/.a.md.swp',
    '.a.swo',
    'a.md~',
    '#a.md#',
    '.#a.md',
    '4913',
  ])('%s', (path) => {
    expect(ignore(path)).toBe(true);
  });

  test.each([
    'a.py',
    'pycache/x',
    'DS_Store',
    'backup~/a.md',
    'x.pyc/a.md',
    'swp',
    '.gitignore',
    '49130',
    '#a',
  ])('not %s', (path) => {
    expect(ignore(path)).toBe(false);
  });

  test('names that the owner adds apply to files and directories at any depth, one star leads or trails', () => {
    const more = createIgnore(['node_modules', '*.log', 'tmp*']);
    const paths = ['node_modules/a', 'a/node_modules/b', 'x.log', 'a.log/b', 'tmpfile', 'a/tmp/b', 'a.pyc'];
    expect(paths.filter((path) => !more(path))).toEqual([]);
    expect(['my_node_modules/a', 'x.log.md', 'a.tmp'].filter((path) => more(path))).toEqual([]);
  });

  test('the marker at the root does not count, one below does', () => {
    expect(counts('.complete', ignore)).toBe(false);
    expect(counts('skills/.complete', ignore)).toBe(true);
    expect(counts('a.pyc', ignore)).toBe(false);
    expect(counts('plugin.yaml', ignore)).toBe(true);
  });
});

describe('comparing trees', () => {
  test('a tree is as itself, in any order', () => {
    const same = { modified: [], missing: [], unlisted: [] };
    expect(compareTrees(PLUGIN, PLUGIN.toReversed())).toEqual(same);
  });

  test('names what is modified, missing and unlisted, sorted', () => {
    const before = [file('c'), file('b'), file('a'), file('m2'), file('m1')];
    const after = [
      file('c', EMPTY, 1),
      file('a', EMPTY, 0, '755'),
      file('b', 'f'.repeat(64)),
      file('z'),
      file('y'),
    ];
    expect(compareTrees(before, after)).toEqual({
      modified: ['a', 'b', 'c'],
      missing: ['m1', 'm2'],
      unlisted: ['y', 'z'],
    });
  });
});
