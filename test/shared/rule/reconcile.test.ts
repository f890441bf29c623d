import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { Declared } from '../../../shared/format/lock-file.ts';
import { type Held, type LiveFacts, reconcilePlugin } from '../../../shared/rule/reconcile.ts';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const [TREE, BUNDLE, OTHER] = [digest('a'), digest('b'), digest('c')];
const AT = '2026-05-08T14:15:30.123Z';

const live = (changes: Partial<LiveFacts & { is: 'marked' }> = {}): LiveFacts => ({
  is: 'marked',
  tree: TREE,
  bundle: BUNDLE,
  version: '1.2.0',
  drift: 0,
  ...changes,
});
const unmarked = (version?: string): LiveFacts => ({ is: 'unmarked', manifest: { version } });

type Row = [what: string, declared: Omit<Declared, 'name'>, found: LiveFacts, outcome: string, Held?];

const ROWS: Row[] = [
  ['nothing is live', { tree: TREE }, { is: 'absent' }, 'missing deliver'],
  ['the tree is live', { tree: TREE }, live(), 'present none'],
  ['the tree is live in another bundle', { tree: TREE, bundle: OTHER }, live(), 'present none'],
  ['another tree is live', { tree: OTHER, bundle: BUNDLE, version: '1.2.0' }, live(), 'stale deliver'],
  ['the bundle is live', { bundle: BUNDLE }, live(), 'present none'],
  ['another bundle is live', { bundle: OTHER, version: '1.2.0' }, live(), 'stale deliver'],
  ['the version is live', { version: '1.2.0' }, live(), 'present none'],
  ['another version is live', { version: '2.0.0' }, live(), 'stale deliver'],
  ['only the name is declared', {}, live(), 'present none'],
  // Staleness that cannot be proven.
  ['the live version has no version', { version: '2.0.0' }, live({ version: '0.0.0' }), 'present none'],
  ['the live bundle is not known', { bundle: OTHER }, live({ bundle: undefined }), 'present none'],
  ['only the version is known', { tree: OTHER, version: '2' }, live({ tree: undefined }), 'stale deliver'],
  ['nothing is known', { tree: OTHER }, live({ tree: undefined, version: undefined }), 'present none'],
  // Edits in place.
  ['files were edited', { tree: TREE }, live({ drift: 2 }), 'drifted none'],
  ['files of another version were edited', { tree: OTHER }, live({ drift: 2 }), 'stale deliver'],
  // No marker.
  ['a tree has no marker', { tree: OTHER }, unmarked('1.2.0'), 'unmarked adopt'],
  ['a version has no marker', { version: '1.2.0', bundle: OTHER }, unmarked('1.2.0'), 'unmarked adopt'],
  ['another version has no marker', { version: '2.0.0' }, unmarked('1.2.0'), 'unmarked deliver'],
  ['a bundle cannot be compared', { bundle: OTHER }, unmarked('1.2.0'), 'unmarked deliver'],
  ['any version is enough', {}, unmarked(), 'unmarked adopt'],
  ['what is there is no plugin', {}, { is: 'unmarked' }, 'unmarked deliver'],
  // Holds.
  ['it is held and as declared', { tree: TREE }, live(), 'present none', { held: 'a test' }],
  ['it is held and edited', { tree: TREE }, live({ drift: 1 }), 'drifted none', { held: 'a test' }],
  ['it is held and stale', { tree: OTHER }, live(), 'held none', { held: 'a test' }],
  ['it is held and missing', {}, { is: 'absent' }, 'held none', { held: 'a test' }],
  ['it is held and has no marker', {}, unmarked(), 'held none', { held: 'a test' }],
  [
    'the tree was rolled back',
    { tree: OTHER },
    live(),
    'held none',
    { refused: { tree: OTHER, bundle: BUNDLE, at: AT } },
  ],
  [
    'the bundle was rolled back',
    { bundle: OTHER },
    live(),
    'held none',
    { refused: { tree: TREE, bundle: OTHER, at: AT } },
  ],
  [
    'another version was rolled back',
    { tree: OTHER },
    live(),
    'stale deliver',
    { refused: { tree: TREE, bundle: BUNDLE, at: AT } },
  ],
];

describe('a declared plugin', () => {
  test.each(ROWS)('when %s', (_, declared, found, outcome, holding = {}) => {
    const { state, action } = reconcilePlugin({ name: 'lint', ...declared }, found, holding, false);
    expect(`${state} ${action}`).toBe(outcome);
  });

  test('is repaired only on request', () => {
    const decide = (holding: Held): object =>
      reconcilePlugin({ name: 'lint', tree: TREE }, live({ drift: 1 }), holding, true);
    expect(decide({})).toEqual({ state: 'drifted', action: 'deliver', detail: '1 file was edited in place' });
    expect(decide({ held: 'a test' })).toEqual({
      state: 'held',
      action: 'none',
      detail: 'it is held: a test',
    });
  });
});

const digests = fc.constantFrom(TREE, BUNDLE, OTHER);
const versions = fc.constantFrom('0.0.0', '1.2.0', '2.0.0');
const maybe = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(values, { nil: undefined });
const declarations: fc.Arbitrary<Declared> = fc.record(
  { name: fc.constant('lint'), version: versions, tree: digests, bundle: digests },
  { requiredKeys: ['name'] },
);
const marked = fc.record({
  is: fc.constant('marked' as const),
  tree: maybe(digests),
  bundle: maybe(digests),
  version: maybe(versions),
  drift: fc.nat(3),
});

describe('whatever is declared and live', () => {
  test('is not delivered again after it was delivered', () => {
    fc.assert(
      fc.property(
        declarations,
        maybe(digests),
        maybe(digests),
        versions,
        (declared, tree, bundle, version) => {
          // An agent knows the digests of all that it installs.
          const found = live({
            tree: declared.tree ?? tree ?? TREE,
            bundle: declared.bundle ?? bundle ?? BUNDLE,
            version: declared.version ?? version,
          });
          expect(reconcilePlugin(declared, found, {}, true)).toMatchObject({
            state: 'present',
            action: 'none',
          });
        },
      ),
    );
  });

  test('is never changed while it is held, and edits only on request', () => {
    fc.assert(
      fc.property(declarations, marked, fc.boolean(), (declared, found, repair) => {
        expect(reconcilePlugin(declared, found, { held: 'a test' }, repair).action).toBe('none');
        const { state, action } = reconcilePlugin(declared, found, {}, repair);
        expect(action).toBe(state === 'stale' || (state === 'drifted' && repair) ? 'deliver' : 'none');
      }),
    );
  });
});
