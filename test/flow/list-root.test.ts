/** `airlock list --root`: what an agent would say, from the disk alone, also for whoever may only read it. */
import { appendFile, chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type TestContext, afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';

import type { PluginInfo, Uninstalled } from '../../shared/api/plugin.ts';
import { needMounts, tmpfsMount } from '../_kit/mounts.ts';
import { Program, examplePlugin } from '../_kit/program.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';
import { inProcess } from '../_kit/two-ways.ts';

vi.setConfig({ testTimeout: 120_000 });

const NOBODY = { uid: 65_534, gid: 65_534 };
const TROUBLE = {
  at: '2026-05-08T14:15:30.123Z',
  operationId: 'operation-0',
  what: 'It\u001B[2J broke',
  todo: 'Mend it',
};

let origin: Program;
let fromAgent: PluginInfo[];

/** A root with a bit of everything, on which its agent runs; `fromAgent` is the list that it gives. */
beforeAll(async () => {
  origin = await Program.open();
  await origin.serveHere({ AIRLOCK_DURABILITY: 'none' });
  const push = async (name: string, ...words: string[]): Promise<void> => {
    const source = join(origin.folder, 'source', name);
    await cp(examplePlugin, source, { recursive: true });
    await writeFile(join(source, 'plugin.yaml'), `name: ${name}\nversion: 1.0.0\n`);
    await writeFile(join(source, 'text.md'), words.join(' '));
    await origin.json(['push', source, ...words]);
  };
  for (const name of ['edited', 'waiting', 'removed', 'whole']) await push(name);
  await push('waiting', '--no-restart');
  await origin.json(['uninstall', 'removed', '--no-restart']);
  await appendFile(join(origin.root, 'edited', 'text.md'), 'more');
  await rm(join(origin.root, 'edited', 'plugin.yaml'));
  await writeFile(join(origin.root, 'edited', 'plugin.yaml'), 'name: edited\nversion: 1.0.1\n');
  await writeFile(join(origin.root, 'edited', 'new.md'), 'new');
  const state = JSON.stringify({ version: 1, trouble: TROUBLE });
  for (const name of ['lost', 'whole']) await writeFile(join(origin.root, '.state', `${name}.json`), state);
  await mkdir(join(origin.root, 'half-copied'));
  // An operator's touch: there is no install that could have an id.
  await mkdir(join(origin.root, 'touched'));
  await writeFile(join(origin.root, 'touched', 'plugin.yaml'), 'name: touched\nversion: 1.0.0\n');
  await writeFile(join(origin.root, 'touched', '.complete'), '');
  fromAgent = (await origin.json(['list'])) as PluginInfo[];
});
afterAll(() => origin.close());

/** A copy of that root, on which no agent runs. @param parent where it is made. */
async function makeCopy(parent?: string): Promise<Program> {
  const copy = await Program.open(undefined, parent);
  onTestFinished(() => copy.close());
  await chmod(copy.folder, 0o755);
  await cp(origin.root, copy.root, { recursive: true, preserveTimestamps: true });
  return copy;
}

const byName = (plugins: readonly PluginInfo[]): Record<string, PluginInfo> =>
  Object.fromEntries(plugins.map((info) => [info.name, info]));

async function listed(program: Program): Promise<PluginInfo[]> {
  const { code, stdout, stderr } = await program.here(['list', '--root', program.root, '--json']);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as PluginInfo[];
}

it('shows what an agent does: edits in place, changes that wait, troubles, and what is absent', async () => {
  const all = byName(fromAgent);
  expect(Object.keys(all)).toEqual([
    'edited',
    'half-copied',
    'lost',
    'removed',
    'touched',
    'waiting',
    'whole',
  ]);
  expect(all['edited']).toMatchObject({ status: 'admitted', drift: 3 });
  expect(all['waiting']).toMatchObject({ status: 'admitted', pending: { restarting: false } });
  const trouble = { what: TROUBLE.what, todo: TROUBLE.todo };
  expect(all['whole']).toMatchObject({ status: 'admitted', trouble });
  expect(all['whole']).not.toHaveProperty('drift');
  expect(all['touched']).not.toHaveProperty('installId');
  expect(all['lost']).toEqual({
    name: 'lost',
    status: 'absent',
    detail: TROUBLE.what,
    hint: 'Mend it',
    trouble,
  });
  expect(all['removed']).toEqual({
    name: 'removed',
    status: 'absent',
    detail: 'It is removed, and the runtime may still have it loaded',
    hint: expect.stringContaining('"airlock restarted"') as string,
    pending: expect.objectContaining({ installId: null }) as unknown,
  });
  expect(await listed(origin)).toEqual(fromAgent);
  // What is absent counts as neither, and there is nothing of it to verify.
  expect(await origin.here(['status', '--to', origin.url, '--json'])).toMatchObject({
    code: 1,
    stdout: expect.stringContaining(
      '"plugins":{"admitted":4,"refused":1,"pending":2,"promised":0,"drifted":1}',
    ) as string,
  });
  const { stdout } = await origin.here(['verify', '--to', origin.url, '--json']);
  const verdicts = (JSON.parse(stdout) as { plugin: string }[]).map(({ plugin }) => plugin);
  expect(verdicts).toEqual(['edited', 'half-copied', 'touched', 'waiting', 'whole']);
});

it('says it to people: a status, what to do, and a closing line that counts what is absent apart', async () => {
  const copy = await makeCopy();
  const { code, text } = await inProcess(['list', '--root', copy.root]);
  expect(code).toBe(0);
  expect(text).toMatch(/\nremoved +absent\n/);
  expect(text).toMatch(/\nlost +absent\n/);
  expect(text).toMatch(
    /\nremoved: It is removed, and .*\n {2}what to do: Restart the runtime; .*"airlock restarted"\n/,
  );
  expect(text.split('\nlost: ')).toHaveLength(2);
  expect(text).toMatch(/\nlost: It\uFFFD\[2J broke\n {2}what to do: Mend it\n/);
  expect(text).toContain('\nedited: 3 files edited in place; see "airlock verify edited"\n');
  expect(text).toMatch(/\nwaiting: the runtime has not loaded the change of .*; it waits for a restart\n/);
  expect(text).toMatch(/\n4 plugins admitted, 1 refused, 2 absent\n$/);
  for (const name of ['removed', 'lost']) await rm(join(copy.root, '.state', `${name}.json`));
  const { text: without } = await inProcess(['list', '--root', copy.root]);
  expect(without).toMatch(/\n4 plugins admitted, 1 refused\n$/);
});

it('a version that was removed is listed until the restart is reported', async () => {
  const copy = await makeCopy();
  const gone = async (): Promise<boolean> => !Object.hasOwn(byName(await listed(copy)), 'removed');
  expect(await gone()).toBe(false);
  const { code } = await copy.here(['restarted', '--root', copy.root]);
  expect([code, await gone()]).toEqual([0, true]);
});

it('works on a root that is mounted read-only, and makes nothing', async (ctx) => {
  needMounts(ctx, 'tmpfs');
  const mount = tmpfsMount(64);
  const copy = await makeCopy(mount.point);
  const before = await snapshotTree(copy.root);
  await mount.remount('ro');
  expect(await listed(copy)).toEqual(fromAgent);
  const { stdout: verified } = await copy.here(['verify', 'whole', '--root', copy.root, '--json']);
  expect(JSON.parse(verified)).toMatchObject({ verdict: 'intact', modified: { total: 0 } });
  await mount.remount('rw');
  expect(await snapshotTree(copy.root)).toEqual(before);
  const plain = join(copy.folder, 'plain');
  await mkdir(join(plain, 'half-copied'), { recursive: true });
  const { stdout } = await copy.here(['list', '--root', plain, '--json']);
  expect(JSON.parse(stdout)).toMatchObject([{ name: 'half-copied', reason: 'no-marker' }]);
  expect((await copy.here(['verify', '--root', plain])).code).toBe(1);
  expect(Object.keys(await snapshotTree(plain))).toEqual(['half-copied']);
});

/** Goes on as a user who may only read; that needs root, and a checkout that all may read. */
async function asNobody(ctx: Pick<TestContext, 'skip'>, program: Program): Promise<void> {
  if (process.getuid?.() !== 0) ctx.skip('becoming somebody else needs root');
  program.as = NOBODY;
  if ((await program.run(['--version'])).code !== 0) ctx.skip('others cannot run this checkout');
}

it('works for a user who may only read, and says nothing of what that one may not', async (ctx) => {
  const copy = await makeCopy();
  await asNobody(ctx, copy);
  expect(await listed(copy)).toEqual(fromAgent);
  const { root } = copy;
  expect((await copy.run(['verify', 'whole', '--root', root])).code).toBe(0);
  // Younger than its install, and not to be read: whether it was edited cannot be said.
  const file = join(root, 'whole', 'text.md');
  await writeFile(file, await readFile(file));
  await chmod(file, 0o600);
  await chmod(join(root, 'whole', 'rules'), 0o700);
  const hidden = byName(await listed(copy));
  expect(hidden['whole']).not.toHaveProperty('drift');
  expect(hidden['edited']).toMatchObject({ drift: 3 });
  await chmod(join(root, '.receipts'), 0o700);
  expect(byName(await listed(copy))['edited']).not.toHaveProperty('drift');
  await chmod(join(root, '.state'), 0o700);
  const blind = byName(await listed(copy));
  expect(Object.keys(blind)).toEqual(['edited', 'half-copied', 'touched', 'waiting', 'whole']);
  expect(blind['waiting']).not.toHaveProperty('pending');
  expect(blind['whole']).not.toHaveProperty('trouble');
});

it('an uninstall of nothing does not make it appear', async () => {
  const answer = (await origin.json(['uninstall', 'nothing'])) as Uninstalled;
  expect(answer.status).toBe('absent');
  expect(await listed(origin)).toEqual(fromAgent);
});
