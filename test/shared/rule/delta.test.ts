/** The rule for deltas: which files are sent, and that both sides come to the same tree. */
import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import {
  deltaListSchema,
  type PlannedVersion,
  readPlanned,
  shortDigest,
  writePlanned,
} from '../../../shared/format/delta.ts';
import { type FileEntry, treeDigest } from '../../../shared/format/tree.ts';
import { planDelta, takenFiles } from '../../../shared/rule/delta.ts';

const BASE = '20260508T141530123Z-9f86d081';
const SNAPSHOT = '20260507T141530123Z-9f86d081';

const file = (path: string, text = path, mode: FileEntry['mode'] = '644'): FileEntry => ({
  path,
  size: text.length,
  mode,
  sha256: createHash('sha256').update(text).digest('hex'),
});

type Versions = { version: string; tree: string; files: FileEntry[] }[];

/** What the agent makes of the delta that the client makes, through the list as it is sent. */
function roundTrip(files: FileEntry[], versions: Versions) {
  const planned = readPlanned(writePlanned({ versions, loaded: undefined }));
  const plan = planDelta(files, planned.versions);
  if (plan === undefined) throw new Error('There is no plan');
  const taken = takenFiles(plan.list, (version) => versions.find((one) => one.version === version)?.files);
  if (!taken.ok) throw new Error(`It cannot be taken: ${taken.path}`);
  const sent = files.filter(({ path }) => plan.missing.has(path));
  const made = [
    ...sent,
    ...taken.files.map(({ path, size, mode, sha256 }) => ({ path, size, mode, sha256 })),
  ];
  return { sent: sent.map(({ path }) => path), made: treeDigest(made), list: plan.list };
}

const base = (...files: FileEntry[]): Versions => [{ version: BASE, tree: treeDigest(files), files }];

describe('planDelta', () => {
  it('sends what was edited and added, and takes the rest', () => {
    const next = [file('a'), file('b', 'edited'), file('c')];
    const { sent, made } = roundTrip(next, base(file('a'), file('b'), file('gone')));
    expect(sent).toEqual(['b', 'c']);
    expect(made).toBe(treeDigest(next));
  });

  it('takes what was moved, copied or has another mode', () => {
    const next = [file('moved', 'x'), file('copy', 'y'), file('y', 'y'), file('z', 'z', '755')];
    const { sent, made, list } = roundTrip(next, base(file('x', 'x'), file('y', 'y'), file('z', 'z')));
    expect(sent).toEqual([]);
    expect(made).toBe(treeDigest(next));
    expect(list.without.toSorted()).toEqual(['x', 'z']);
  });

  it('exchanges the contents of two files', () => {
    const next = [file('a', '1'), file('b', '2')];
    const { sent, made } = roundTrip(next, base(file('a', '2'), file('b', '1')));
    expect({ sent, made }).toEqual({ sent: [], made: treeDigest(next) });
  });

  it('takes from a snapshot what the base does not have', () => {
    const versions = [
      ...base(file('a')),
      { version: SNAPSHOT, tree: '', files: [file('old', 'old content')] },
    ];
    const next = [file('a'), file('new', 'old content')];
    const { sent, made, list } = roundTrip(next, versions);
    expect({ sent, made }).toEqual({ sent: [], made: treeDigest(next) });
    expect(list.take).toEqual([{ path: 'new', mode: '644', from: 'old', version: SNAPSHOT }]);
  });

  it('has no plan without a version', () => {
    expect(planDelta([file('a')], [])).toBeUndefined();
  });
});

describe('takenFiles', () => {
  const filesOf = (version: string): FileEntry[] | undefined => (version === BASE ? [file('a')] : undefined);

  it('names the version that is not there', () => {
    const list = { base: SNAPSHOT, without: [], take: [] };
    expect(takenFiles(list, filesOf)).toEqual({ ok: false, version: SNAPSHOT, path: undefined });
  });

  it('takes nothing that the receipt of a version does not list', () => {
    for (const from of ['../../etc/passwd', '/etc/passwd', '.complete', 'b', '__proto__']) {
      const list = { base: BASE, without: [], take: [{ path: 'b', mode: '644' as const, from }] };
      expect(takenFiles(list, filesOf)).toEqual({ ok: false, version: BASE, path: from });
    }
  });
});

describe('the list of an agent', () => {
  it('is read as it was written, with cut digests', () => {
    const versions: PlannedVersion[] = base(file('a "b" \n c'), file('ä'));
    const read = readPlanned(writePlanned({ versions, loaded: undefined }));
    const short = versions.map((one) => ({
      ...one,
      files: one.files.map((each) => ({ ...each, sha256: shortDigest(each.sha256) })),
    }));
    expect(read).toEqual({ versions: short, loaded: undefined });
  });

  it('says what is loaded: the first version or another one, and what was edited', () => {
    const versions: PlannedVersion[] = [{ version: BASE, tree: '', files: [] }];
    const edited = ['a/SKILL.md', ''];
    const first = { versions, loaded: { files: undefined, edited } };
    expect(readPlanned(writePlanned(first))).toEqual(first);
    const other = { versions, loaded: { files: [{ ...file('b'), sha256: 'a'.repeat(16) }], edited: [] } };
    expect(readPlanned(writePlanned(other))).toEqual(other);
    const alone = { versions: [], loaded: { files: [], edited: [] } };
    expect(readPlanned(writePlanned(alone))).toEqual(alone);
  });

  it('may lie: what it makes of the client is a delta that makes another tree, or none', () => {
    const next = [file('a'), file('b'), file('__proto__'), file('c', 'edited')];
    const truth = base(file('a'), file('b', 'other'), file('__proto__', 'other'));
    const lie = [
      file('b'),
      file('a'),
      file('a', 'b'),
      file('a'),
      file('../../x', 'edited'),
      file('__proto__'),
    ];
    for (let count = 0; count <= lie.length; count += 1) {
      const { list, missing } =
        planDelta(next, [{ version: BASE, tree: '', files: lie.slice(0, count) }]) ?? {};
      const taken = list && takenFiles(list, () => truth[0]?.files);
      if (taken === undefined || !taken.ok) continue;
      const sent = next.filter(({ path }) => missing?.has(path));
      const made = [...sent, ...taken.files];
      const isSame = treeDigest(made) === treeDigest(next);
      expect([count, isSame]).toEqual([count, false]);
    }
  });

  it('is refused if it is not one', () => {
    for (const text of [
      '[]\n',
      '{}\n',
      'x\n',
      '{"loaded":"third"}\n',
      '{"loaded":"first"}\n["a"]\n',
      `${JSON.stringify({ version: BASE, tree: '' })}\n["a"]\n`,
    ]) {
      expect(() => readPlanned(text)).toThrow();
    }
  });
});

it('a list of which every item is wrong is refused by one issue for each field', () => {
  const wrong = Array.from({ length: 1000 }, () => 0);
  const read = deltaListSchema.safeParse({ base: BASE, without: wrong, take: wrong });
  expect(read.error?.issues.map(({ path }) => path)).toEqual([['without'], ['take']]);
});
