/** Swaps by a real agent under the eyes of a watcher. */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, onTestFinished, test } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { startTestAgent } from '../_kit/agent.ts';
import { beginOf, pack, push } from '../_kit/bundle.ts';
import { LATER, install, makeRoot, writeFiles, writeIntent, yamlOf } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';
import { Wire } from '../_kit/wire.ts';

const many = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`data/${i % 20}/f${i}`, `${i}`]));
const files = (skill: string, hook = 'exit 0'): Record<string, string> => ({
  'plugin.yaml': yamlOf('lint'),
  'skills/review/SKILL.md': `---\nname: review\ndescription: d\n---\n${skill}\n`,
  'hooks/run.sh': hook,
  ...many,
});

async function agentWith(first: Record<string, string>) {
  const agent = await startTestAgent({ env: { AIRLOCK_DURABILITY: 'none' } });
  const wire = await Wire.start(agent);
  const put = async (tree: Record<string, string>, force = false): Promise<Installed> => {
    const bundle = await pack(tree);
    return push(wire, beginOf('lint', bundle, force ? { force } : {}), bundle);
  };
  const installed = await put(first);
  return { agent, wire, put, installed, live: (path: string) => join(agent.layout.live('lint'), path) };
}

const swap = ({ installId }: Pick<Installed, 'installId'>) => ({ cause: { by: 'swap', installId } });
const edit = { cause: { by: 'edit' } };
const lint = () => ({ operationId: randomUUID(), plugin: 'lint' });

describe('a swap by the agent', () => {
  test('is exactly one event, which says what it means and which install caused it', async () => {
    const { put, live, agent, installed } = await agentWith(files('one'));
    const { rest } = await watching(agent.layout);
    const hot = await put(files('two'));
    expect(await rest()).toMatchObject([
      { kind: 'skill-content-only', skills: ['skills/review'], generation: hot.installId, ...swap(hot) },
    ]);
    const cold = await put(files('two', 'exit 1'));
    expect(await rest()).toMatchObject([
      { kind: 'cold', reasons: [{ path: 'hooks/run.sh', change: 'modified' }], ...swap(cold) },
    ]);
    const sticky = await put(files('three', 'exit 1'));
    expect(await rest()).toMatchObject([
      {
        kind: 'cold',
        reasons: [{ path: 'hooks/run.sh' }, { path: 'skills/review/SKILL.md' }],
        ...swap(sticky),
      },
    ]);
    const back = await put(files('two'));
    expect(await rest()).toMatchObject([{ kind: 'identical', reasons: [], ...swap(back) }]);
    const again = await put(files('two'), true);
    expect(again.installId).not.toBe(installed.installId);
    expect(await rest()).toMatchObject([{ kind: 'identical', ...swap(again) }]);
    await writeFile(live('skills/review/SKILL.md'), 'by hand');
    expect(await rest()).toMatchObject([{ kind: 'skill-content-only', ...edit }]);
  });

  test('makes the watcher look at the new directory, and no longer at the one that it displaced', async () => {
    const { put, live, agent } = await agentWith(files('one'));
    const { rest } = await watching(agent.layout);
    const { installId } = await put(files('two'));
    await rest();
    await writeFile(join(agent.layout.snapshot('lint', installId), 'hooks/run.sh'), 'displaced');
    expect(await rest()).toEqual([]);
    await writeFile(live('hooks/run.sh'), 'live');
    expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [{ path: 'hooks/run.sh' }], ...edit }]);
  });

  test('is one event for the last of five within one settling', async () => {
    const { put, agent } = await agentWith(files('0'));
    const { rest } = await watching(agent.layout);
    let last: Installed | undefined;
    for (const text of ['1', '2', '3', '4', '5']) last = await put(files(text));
    expect(await rest()).toMatchObject([{ kind: 'skill-content-only', ...swap(last ?? { installId: '' }) }]);
  });

  test('is seen by two watchers in one process, and both look at the new directory', async () => {
    const { put, live, agent } = await agentWith(files('one'));
    const both = [await watching(agent.layout), await watching(agent.layout)];
    const { installId } = await put(files('two'));
    for (const { rest } of both) expect(await rest()).toMatchObject([swap({ installId })]);
    await writeFile(live('skills/review/SKILL.md'), 'by hand');
    for (const { rest } of both) expect(await rest()).toMatchObject([edit]);
  });

  test('is seen when it is a first install, a rollback and an uninstall', async () => {
    const { put, wire, agent } = await agentWith(files('one'));
    const { next, rest } = await watching(agent.layout);
    await put(files('two', 'exit 1'));
    expect(await next()).toMatchObject({ kind: 'cold' });
    const back: Installed = await wire.request('plugin.rollback', lint());
    expect(await next()).toMatchObject({
      kind: 'identical',
      generation: back.installId,
      ...swap(back),
    });
    await wire.request('plugin.uninstall', lint());
    expect(await next()).toMatchObject({ kind: 'cold', status: 'absent', ...edit });
    const other = await pack({ 'plugin.yaml': yamlOf('other') });
    const first = await push(wire, beginOf('other', other), other);
    expect(await rest()).toMatchObject([
      { plugin: 'other', kind: 'cold', status: 'admitted', ...swap(first) },
    ]);
  });
});

test('a swap of two renames is one event: the moment between them is waited for', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { 'plugin.yaml': yamlOf('lint'), 'SKILL.md': 'one' });
  const { clock, rest } = await watching(layout);
  await install(
    layout,
    'lint',
    { 'plugin.yaml': yamlOf('lint'), 'SKILL.md': 'two' },
    LATER,
    layout.slot('lint', LATER),
  );
  await writeIntent(layout, 'lint');
  await rename(layout.live('lint'), layout.snapshot('lint', LATER));
  await new Promise((resolve) => setTimeout(resolve, 100));
  clock.advance(300);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await rename(layout.slot('lint', LATER), layout.live('lint'));
  expect(await rest()).toMatchObject([
    { kind: 'skill-content-only', skills: [''], ...swap({ installId: LATER }) },
  ]);
});

test('a plugin that goes in the first root and is admitted from the second is another version', async () => {
  const [own, shared] = [await makeRoot(), await makeRoot()];
  await install(own, 'lint', { 'plugin.yaml': yamlOf('lint'), 'SKILL.md': 'own' });
  await install(shared, 'lint', { 'plugin.yaml': yamlOf('lint'), 'SKILL.md': 'shared' }, LATER);
  const { next, rest } = await watching([own, shared]);
  await writeFile(join(shared.live('lint'), 'SKILL.md'), 'shadowed');
  expect(await rest()).toEqual([]);
  await rm(own.live('lint'), { recursive: true });
  expect(await next()).toMatchObject({ kind: 'skill-content-only', status: 'admitted', generation: LATER });
  await writeFile(join(shared.live('lint'), 'SKILL.md'), 'edited');
  expect(await next()).toMatchObject({ kind: 'skill-content-only', ...edit });
});

test('a root that comes later, goes and comes again is watched', async () => {
  const layout = await makeRoot();
  await rm(layout.root, { recursive: true });
  const { next } = await watching(layout);
  for (const text of ['first', 'second']) {
    await mkdir(layout.receipts, { recursive: true });
    await writeFiles(layout.live('lint'), {
      'plugin.yaml': yamlOf('lint'),
      'SKILL.md': text,
      '.complete': '',
    });
    expect(await next()).toMatchObject({ plugin: 'lint', kind: 'cold', status: 'admitted' });
    await rm(layout.root, { recursive: true });
    expect(await next()).toMatchObject({ plugin: 'lint', kind: 'cold', status: 'absent' });
  }
});

test('ends its iteration when it is closed, when its reader leaves it, and when the signal of the loader is aborted', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  const stop = new AbortController();
  const loader = createLoader({ roots: [layout.root], signal: stop.signal });
  const closed = loader.watch();
  onTestFinished(() => closed.close());
  await closed.ready;
  const ends = (async () => {
    for await (const event of closed) throw new Error(JSON.stringify(event));
    return 'ended';
  })();
  await closed.close();
  expect(await ends).toBe('ended');

  const left = loader.watch();
  await left.ready;
  await writeFile(join(layout.live('lint'), 'plugin.yaml'), `${yamlOf('lint')}author: me\n`);
  for await (const { kind } of left) {
    expect(kind).toBe('cold');
    break;
  }
  for await (const event of left) throw new Error(JSON.stringify(event));

  const aborted = loader.watch();
  await aborted.ready;
  stop.abort();
  for await (const event of aborted) throw new Error(JSON.stringify(event));
});
