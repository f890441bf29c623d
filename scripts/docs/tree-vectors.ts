/** docs/vectors/trees.json: trees with their digests, and which names are left out. */
import { createHash } from 'node:crypto';

import { type FileEntry, counts, createIgnore, sortFiles, treeDigest } from '../../shared/format/tree.ts';

/** A file of a tree; `mode` are the permission bits that it has on the disk. */
export type VectorFile = { path: string; mode: string; base64: string };

/** `lines`: what is hashed, as one text. */
export type TreeVector = { name: string; files: VectorFile[]; lines: string; digest: string };

/** Whether a path counts for an agent whose AIRLOCK_IGNORE adds these names. */
export type PathVector = { path: string; counts: boolean; ignore?: string[] };

export type TreeVectors = { about: string[]; trees: TreeVector[]; paths: PathVector[] };

const file = (path: string, text: string, mode = '644'): VectorFile => ({
  path,
  mode,
  base64: Buffer.from(text, 'utf8').toString('base64'),
});

/** The files that count, as a receipt lists them. */
export function entriesOf(files: readonly VectorFile[]): FileEntry[] {
  const ignore = createIgnore();
  return files
    .filter(({ path }) => counts(path, ignore))
    .map(({ path, mode, base64 }) => {
      const bytes = Buffer.from(base64, 'base64');
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      return {
        path,
        size: bytes.length,
        mode: (Number.parseInt(mode, 8) & 0o100) === 0 ? '644' : '755',
        sha256,
      };
    });
}

function tree(name: string, files: VectorFile[]): TreeVector {
  const entries = entriesOf(files);
  const lines = sortFiles(entries).map(
    (each) => `${each.path}\0${each.mode}\0${each.size}\0${each.sha256}\n`,
  );
  return { name, files, lines: lines.join(''), digest: treeDigest(entries) };
}

const TREES: TreeVector[] = [
  tree('no file', []),
  tree('one file', [file('a', 'hi')]),
  tree('one file that its owner may execute', [file('a', 'hi', '755')]),
  tree('of the mode only the execute bit of the owner counts', [
    file('a', 'hi', '711'),
    file('b', 'hi', '655'),
  ]),
  tree('an empty file', [file('empty', '')]),
  tree('bytes that are no text', [
    { path: 'data.bin', mode: '644', base64: Buffer.from([0, 255, 10, 13, 128]).toString('base64') },
  ]),
  tree('paths are sorted as bytes, not by directory', [
    file('a/b', '1'),
    file('a-b', '2'),
    file('a.b', '3'),
    file('a0b', '4'),
    file('A', '5'),
    file('ab', '6'),
  ]),
  tree('paths are sorted by their UTF-8 bytes, which is not the order of UTF-16', [
    file('\u{1f600}', 'after'),
    file('\uff5e', 'before'),
    file('é', 'one code point'),
    file('e\u0301', 'two code points: another path'),
  ]),
  tree('the marker at the root, ignored files and ignored directories are left out', [
    file('plugin.yaml', 'name: lint\n'),
    file('.complete', '{}'),
    file('rules/.complete', 'only the one at the root is the marker'),
    file('hooks/__pycache__/check.cpython-311.pyc', 'x'),
    file('rules/one.md~', 'a backup'),
    file('rules/.one.md.swp', 'a swap file'),
    file('.DS_Store', 'x'),
  ]),
];

const OWN = ['local.json', '*.bak', 'tmp*'];

const PATHS: PathVector[] = [
  ['plugin.yaml', true],
  ['.complete', false],
  ['rules/.complete', true],
  ['.completed', true],
  ['__pycache__/a.py', false],
  ['hooks/__pycache__/a.py', false],
  ['__MACOSX/a', false],
  ['a.pyc', false],
  ['a.pyc/b', true],
  ['a.PYC', true],
  ['.DS_Store', false],
  ['.ds_store', true],
  ['sub/Thumbs.db', false],
  ['thumbs.DB', false],
  ['Desktop.INI', false],
  ['.nfs0000000000a1', false],
  ['.nfs', true],
  ['.fuse_hidden0001', false],
  ['a~', false],
  ['a~/b', true],
  ['.a.swp', false],
  ['.a.swz', true],
  ['a.swp', true],
  ['#a#', false],
  ['##', false],
  ['#', true],
  ['.#a', false],
  ['4913', false],
  ['49130', true],
].map(([path, is]) => ({ path: String(path), counts: is === true }));

const OWN_PATHS: PathVector[] = [
  ['local.json', false],
  ['deep/local.json/a', false],
  ['local.json5', true],
  ['a.bak', false],
  ['a.bak/b', false],
  ['tmp', false],
  ['tmp1/a', false],
  ['atmp', true],
].map(([path, is]) => ({ path: String(path), counts: is === true, ignore: OWN }));

export const treeVectors = (): TreeVectors => ({
  about: [
    'Trees and their digests. docs/protocol.md explains them.',
    'trees: the files of a directory (base64: the content; mode: the permission bits on the disk, octal), the text that is hashed as UTF-8 (lines; \\u0000 stands for NUL), and "sha256:" with the hash of that text (digest).',
    'paths: whether a path below the plugin counts. ignore: the names that this agent ignores besides the built-in ones.',
  ],
  trees: TREES,
  paths: [...PATHS, ...OWN_PATHS],
});
