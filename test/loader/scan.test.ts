import { mkdir, rm } from 'node:fs/promises';

import { expect, test } from 'vitest';

import type { Gate } from '../../loader/gate.ts';
import { createScan } from '../../loader/scan.ts';
import { readOptions } from '../../loader/settings.ts';
import { refuse } from '../../shared/rule/admission.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { makeRoot } from '../_kit/loader-root.ts';

/** A gate that refuses what it is asked for, so that a scan tells which names it came by. */
function asking(layout: Layout, meanwhile: (name: string) => Promise<unknown>): Gate {
  return async (name) => {
    await meanwhile(name);
    return { name, plugin: undefined, refusals: [{ ...refuse(name, 'no-marker', ''), root: layout.root }] };
  };
}

const namesOf = async (scan: ReturnType<typeof createScan>): Promise<string[]> =>
  (await scan()).refused.map(({ name }) => name);

test('what was there before is looked for by name when a listing lacks it (rule 20)', async () => {
  const layout = await makeRoot();
  await mkdir(layout.live('lint'));
  let isThere = true;
  const gate: Gate = async (name, approach) => {
    const passage = await asking(layout, () => Promise.resolve())(name, approach);
    return isThere ? passage : { ...passage, refusals: [] };
  };
  const scan = createScan(readOptions({ roots: [layout.root] }), gate);
  expect(await namesOf(scan)).toEqual(['lint']);
  // The listing overlooks it, the look by name does not.
  await rm(layout.live('lint'), { recursive: true });
  expect(await namesOf(scan)).toEqual(['lint']);
  isThere = false;
  expect(await namesOf(scan)).toEqual([]);
  isThere = true;
  expect(await namesOf(scan)).toEqual([]);
});

test('a root that changes during the scan is listed again', async () => {
  const layout = await makeRoot();
  await mkdir(layout.live('a'));
  const gate = asking(layout, (name) =>
    name === 'a' ? mkdir(layout.live('b'), { recursive: true }) : Promise.resolve(),
  );
  expect(await namesOf(createScan(readOptions({ roots: [layout.root] }), gate))).toEqual(['a', 'b']);
});

test('a root that never stops changing is listed three times', async () => {
  const layout = await makeRoot();
  await mkdir(layout.live('a'));
  const gate = asking(layout, (name) => mkdir(layout.live(`${name}a`), { recursive: true }));
  const scan = createScan(readOptions({ roots: [layout.root] }), gate);
  expect(await namesOf(scan)).toEqual(['a', 'aa', 'aaa']);
});
