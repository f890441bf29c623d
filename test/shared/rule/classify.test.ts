import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { FileEntry, Reason } from '../../../shared/format/tree.ts';
import { type Basis, classify, classifyLoaded, reloadOf } from '../../../shared/rule/classify.ts';

const file = (path: string, content = '0', mode: FileEntry['mode'] = '644'): FileEntry => ({
  path,
  size: content.length,
  mode,
  sha256: content.repeat(64).slice(0, 64),
});
const TREE = [file('plugin.yaml'), file('skills/a/SKILL.md'), file('hooks/run.sh', '0', '755')];
const changed = (...files: FileEntry[]): FileEntry[] => [
  ...TREE.filter(({ path }) => files.every((one) => one.path !== path)),
  ...files,
];

it('what needs the restart is named first, for lists are cut', () => {
  const skills = Array.from({ length: 200 }, (_, i) => `skills/s${i}/SKILL.md`);
  const before = skills.map((path) => file(path));
  const after = [...skills.map((path) => file(path, '1')), file('zz.md')];
  const basis: Basis = { kind: 'tree', list: before, edited: ['zzz.sh'] };
  const { reasons } = reloadOf(classifyLoaded(basis, after), false);
  expect(reasons.items.slice(0, 3).map(({ path }) => path)).toEqual([
    'zz.md',
    'zzz.sh',
    'skills/s0/SKILL.md',
  ]);
  expect(reasons.total).toBe(202);
});

describe('a change is', () => {
  it('identical if nothing that counts differs, in whichever order', () => {
    const litter = [file('.complete', '1'), file('hooks/__pycache__/x.pyc', '1'), file('.DS_Store', '1')];
    expect(classify(TREE, [...litter, ...TREE.toReversed()])).toEqual({ kind: 'identical', reasons: [] });
  });

  it('skill-content-only if only files called SKILL.md differ, and names them', () => {
    expect(classify(TREE, changed(file('skills/a/SKILL.md', '1')))).toEqual({
      kind: 'skill-content-only',
      reasons: [{ path: 'skills/a/SKILL.md', change: 'modified', why: 'a skill, which can be read again' }],
    });
  });

  it.each<[string, FileEntry[], Partial<Reason>]>([
    ['a new skill', [...TREE, file('skills/b/SKILL.md')], { path: 'skills/b/SKILL.md', change: 'added' }],
    ['a skill that goes', TREE.filter(({ path }) => !path.endsWith('SKILL.md')), { change: 'removed' }],
    ['another file', changed(file('hooks/run.sh', '1', '755')), { path: 'hooks/run.sh', change: 'modified' }],
    ['a mode alone', changed(file('hooks/run.sh', '0', '644')), { path: 'hooks/run.sh', change: 'modified' }],
    ['a mode of a skill', changed(file('skills/a/SKILL.md', '1', '755')), { path: 'skills/a/SKILL.md' }],
    ['a name that only ends so', [...TREE, file('x/MYSKILL.md')], { path: 'x/MYSKILL.md' }],
  ])('cold for %s', (_, after, reason) => {
    const verdict = classify(TREE, after);
    expect(verdict.kind).toBe('cold');
    expect(verdict.reasons).toMatchObject([reason]);
  });

  it('cold where there is no version before, or none after', () => {
    expect(classify(undefined, TREE)).toMatchObject({
      kind: 'cold',
      reasons: [{ path: '', change: 'added' }],
    });
    expect(classify(TREE, undefined)).toMatchObject({ kind: 'cold', reasons: [{ change: 'removed' }] });
  });

  it('cold if the manifest says hot_reload: false, unless nothing changed', () => {
    const hotReload = false;
    expect(classify(TREE, TREE, { hotReload }).kind).toBe('identical');
    const verdict = classify(TREE, changed(file('skills/a/SKILL.md', '1')), { hotReload });
    expect(verdict.kind).toBe('cold');
    expect(verdict.reasons[0]?.why).toContain('hot_reload');
  });
});

describe('against what is loaded', () => {
  const basis = (...edited: string[]): Basis => ({ kind: 'tree', list: TREE, edited });

  it('an edit in place may be loaded: of a skill it is hot, of anything else cold', () => {
    expect(classifyLoaded(basis(), TREE).kind).toBe('identical');
    expect(classifyLoaded(basis('skills/a/SKILL.md'), TREE).kind).toBe('skill-content-only');
    expect(classifyLoaded(basis('hooks/run.sh'), TREE)).toMatchObject({
      kind: 'cold',
      reasons: [{ path: 'hooks/run.sh' }],
    });
    const skill = changed(file('skills/a/SKILL.md', '1'));
    expect(classifyLoaded(basis('hooks/run.sh'), skill).kind).toBe('cold');
    expect(classifyLoaded(basis('skills/a/SKILL.md'), TREE, { hotReload: false }).kind).toBe('cold');
  });

  it('what is not known is cold, for that reason', () => {
    const verdict = classifyLoaded({ kind: 'unknown', why: 'nobody knows' }, TREE);
    expect(verdict).toMatchObject({ kind: 'cold', reasons: [{ why: 'nobody knows' }] });
  });

  it('nobody restarts for what needs no restart', () => {
    expect(reloadOf({ kind: 'cold', reasons: [] }, true)).toMatchObject({
      action: 'restart',
      restarting: true,
    });
    expect(reloadOf({ kind: 'cold', reasons: [] }, false).restarting).toBe(false);
    expect(reloadOf({ kind: 'skill-content-only', reasons: [] }, true)).toMatchObject({
      action: 'hot',
      restarting: false,
    });
    expect(reloadOf({ kind: 'identical', reasons: [] }, true)).toMatchObject({
      action: 'none',
      restarting: false,
    });
  });
});

/** The rule said once more, as plainly as it can be, over plain lists. */
function naive(before: FileEntry[], after: FileEntry[], hotReload: boolean | undefined): string {
  const plain = (list: FileEntry[]): FileEntry[] =>
    list.filter(({ path }) => path !== '.complete' && !/(^|\/)__pycache__\/|\.pyc$/.test(path));
  const [old, now] = [plain(before), plain(after)];
  const key = (list: FileEntry[], of: (one: FileEntry) => string): string =>
    list.map(of).toSorted().join('\n');
  const whole = ({ path, mode, sha256 }: FileEntry): string => `${path} ${mode} ${sha256}`;
  if (key(old, whole) === key(now, whole)) return 'identical';
  // Without the digests of skills the two must be the same.
  const skills = (one: FileEntry): string =>
    /(^|\/)SKILL\.md$/.test(one.path) ? `${one.path} ${one.mode}` : whole(one);
  return key(old, skills) === key(now, skills) && hotReload !== false ? 'skill-content-only' : 'cold';
}

const PATHS = [
  'SKILL.md',
  'a/SKILL.md',
  'a/b/SKILL.md',
  'a/xSKILL.md',
  'skill.md',
  'SKILL.md/x',
  '.complete',
  'h/__pycache__/a',
  'b.pyc',
  'plugin.yaml',
  'é/SKILL.md',
];
const entry = fc
  .record({
    path: fc.constantFrom(...PATHS),
    content: fc.constantFrom('0', '1'),
    mode: fc.constantFrom('644' as const, '644' as const, '755' as const),
  })
  .map(({ path, content, mode }) => file(path, content, mode));
const tree = fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: PATHS.length });
/** Often the same paths, for that is where the interesting cases are. */
const pair = fc.oneof(
  fc.tuple(tree, tree),
  tree.chain((before) =>
    fc.tuple(
      fc.constant(before),
      fc.tuple(
        ...before.map(({ path, sha256 }) =>
          fc.oneof(
            { weight: 4, arbitrary: fc.constant(file(path, sha256.slice(0, 1))) },
            entry.map((one) => ({ ...one, path })),
          ),
        ),
      ),
    ),
  ),
);
const hot = fc.constantFrom(undefined, true, false);

describe('whatever the trees', () => {
  it('the verdict is that of the plainest formulation', () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(pair, hot, ([before, after], hotReload) => {
        const { kind } = classify(before, after, { hotReload });
        kinds.add(kind);
        expect(kind).toBe(naive(before, after, hotReload));
      }),
      { numRuns: 2000 },
    );
    expect(kinds.size).toBe(3);
  });

  it('there are reasons if and only if something differs, one a path, each of a path that differs', () => {
    fc.assert(
      fc.property(pair, ([before, after]) => {
        const { kind, reasons } = classify(before, after);
        expect(reasons.length === 0).toBe(kind === 'identical');
        expect(new Set(reasons.map(({ path }) => path)).size).toBe(reasons.length);
        const back = classify(after, before);
        expect(back.kind).toBe(kind);
        expect(back.reasons.map(({ path }) => path)).toEqual(reasons.map(({ path }) => path));
      }),
    );
  });
});
