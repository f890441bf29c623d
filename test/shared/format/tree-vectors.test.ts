/** docs/vectors/trees.json holds for this code. */
import { createHash } from 'node:crypto';

import { expect, test } from 'vitest';

import type { TreeVectors } from '../../../scripts/docs/tree-vectors.ts';
import { type FileEntry, counts, createIgnore, modeOf, treeDigest } from '../../../shared/format/tree.ts';
import { readVectors } from '../../_kit/vectors.ts';

const { trees, paths } = await readVectors<TreeVectors>('trees');
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

test.each(trees)('the digest of a tree: $name', ({ files, lines, digest }) => {
  const ignore = createIgnore();
  const entries = files
    .filter(({ path }) => counts(path, ignore))
    .map(({ path, mode, base64 }): FileEntry => {
      const bytes = Buffer.from(base64, 'base64');
      return { path, size: bytes.length, mode: modeOf(Number.parseInt(mode, 8)), sha256: sha256(bytes) };
    });
  expect(treeDigest(entries.toReversed())).toBe(digest);
  expect(`sha256:${sha256(lines)}`).toBe(digest);
});

test('each path counts, or not, as the vectors say', () => {
  const wrong = paths.filter(
    ({ path, counts: expected, ignore }) => counts(path, createIgnore(ignore)) !== expected,
  );
  expect(wrong).toEqual([]);
});
