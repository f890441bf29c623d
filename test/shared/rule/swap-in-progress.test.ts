import { expect, test } from 'vitest';

import type { Intent } from '../../../shared/format/intent.ts';
import { isSwapInProgress } from '../../../shared/rule/swap-in-progress.ts';

const STAMP = '20260508T141530123Z-9f86d081';

const textOf = (changes: Partial<Intent> = {}): string =>
  JSON.stringify({
    version: 1,
    op: 'install',
    plugin: 'lint',
    stamp: STAMP,
    operationId: 'operation-1',
    path: 'rename',
    from: { installId: STAMP, kind: 'marked' },
    source: null,
    tree: null,
    bundle: null,
    files: 0,
    bytes: 0,
    goal: 'forward',
    clearing: false,
    attempts: 0,
    owner: { bootId: 'boot', pidNamespace: '1', pid: 1, startTime: '1' },
    ...changes,
  } satisfies Intent);

test.each<[string, Partial<Intent>, boolean]>([
  ['an install by rename', {}, true],
  ['an install by copy', { path: 'copy' }, true],
  ['a rollback by rename', { op: 'rollback' }, true],
  ['a removal that is undone', { op: 'remove', goal: 'back' }, true],
  ['a removal', { op: 'remove' }, false],
  ['an install by exchange', { path: 'exchange' }, false],
  ['a first install', { from: null }, false],
  ['the intent of another plugin', { plugin: 'other' }, false],
])('%s: absence passes %j → %j', (_, changes, passes) => {
  expect(isSwapInProgress(textOf(changes), 'lint')).toBe(passes);
});

test.each(['', '{', '[]', '{"version":2}', 'null'])('%j says nothing about a swap', (text) => {
  expect(isSwapInProgress(text, 'lint')).toBe(false);
});
