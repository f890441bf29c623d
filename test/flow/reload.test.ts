import { cp, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { classify, listDirectory, openSession } from '../../client/index.ts';
import { createLoader } from '../../loader/index.ts';
import type { Installed, PluginInfo, Uninstalled } from '../../shared/api/plugin.ts';
import type { Restarted } from '../../shared/api/runtime.ts';
import { TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { beginOf, pack, push } from '../_kit/bundle.ts';
import { SKILL, get, put, version } from '../_kit/place.ts';
import { Program, examplePlugin } from '../_kit/program.ts';
import { inProcess } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

let operations = 0;
const operationId = (): string => `restart-${(operations += 1)}-${process.pid}`;
describe('over the wire', () => {
  it('a suppressed cold change makes a later change of skills cold, until the runtime reports the load', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const loader = createLoader({ roots: [agent.layout.root] });
    const load = async (): Promise<void> => {
      const answer = await loader.gate('lint');
      if (answer.admitted) await loader.loaded(answer.plugin, answer.plugin.generation);
    };
    await put(wire, await version('1', '1'));
    await load();
    expect((await put(wire, await version('1', '2'))).reload).toMatchObject({
      kind: 'skill-content-only',
      action: 'hot',
    });
    const cold = await put(wire, await version('2', '2'), false);
    expect(cold.reload).toMatchObject({ kind: 'cold', action: 'restart', restarting: false });
    expect(await get(wire)).toMatchObject({ pending: { installId: cold.installId, reasons: { total: 2 } } });
    const { reload } = await put(wire, await version('2', '3'));
    expect(reload).toMatchObject({ kind: 'cold', action: 'restart', restarting: true });
    await load();
    const event = await wire.until(() =>
      wire.events.findLast(({ type }) => type === 'plugin.loaded' && wire.events.length > 0),
    );
    expect(event.data).toMatchObject({ plugin: 'lint', cause: 'runtime' });
    expect((await get(wire)).pending).toBeUndefined();
    expect((await put(wire, await version('2', '4'))).reload.kind).toBe('skill-content-only');
  });

  it('runtime.restarted loads what was live when the restart began, and gives the same answer again', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    await put(wire, await version('1', '1'));
    const second = await put(wire, await version('2', '1'), false);
    const { at } = await wire.until(() => wire.events.findLast(({ type }) => type === 'plugin.changed'));
    // The clock of the agent counts in milliseconds: what follows must not be of the same one.
    await until(() => expect(Date.now()).toBeGreaterThan(Date.parse(at) + 2));
    // With an offset, as RFC 3339 allows and some languages print it.
    const began = new Date().toISOString().replace('Z', '+00:00');
    await until(() => expect(Date.now()).toBeGreaterThan(Date.parse(began)));
    const third = await put(wire, await version('3', '1'), false);
    const id = operationId();
    const first = await wire.request<Restarted>('runtime.restarted', { operationId: id, at: began });
    expect(first).toEqual({
      loaded: { items: [{ plugin: 'lint', generation: second.installId }], total: 1 },
      pending: { items: ['lint'], total: 1 },
    });
    expect(await get(wire)).toMatchObject({
      loaded: second.installId,
      pending: { installId: third.installId, against: second.installId },
    });
    const now = await wire.request<Restarted>('runtime.restarted', { operationId: operationId() });
    expect(now).toMatchObject({
      loaded: { items: [{ generation: third.installId }] },
      pending: { total: 0 },
    });
    expect(await wire.request('runtime.restarted', { operationId: id, at: began })).toEqual(first);
    expect((await get(wire)).loaded).toBe(third.installId);
    const other = await wire.refusal('runtime.restarted', { operationId: id });
    expect(other.data.code).toBe('CONFLICT');
    const future = { operationId: operationId(), at: '2999-01-01T00:00:00.000Z' };
    expect((await wire.refusal('runtime.restarted', future)).data.code).toBe('INVALID_PARAMS');
  });

  it('each change is told once, before its answer, with its operation; what changes nothing is not told', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await version('1', '1');
    const params = beginOf('lint', bundle);
    await push(wire, params, bundle);
    await put(wire, bundle);
    await put(wire, await version('1', '2'));
    const back = { operationId: operationId(), plugin: 'lint' };
    expect(await wire.request('plugin.rollback', back)).toMatchObject({ reload: { action: 'hot' } });
    const gone = { operationId: operationId(), plugin: 'lint', restart: false };
    expect(await wire.request<Uninstalled>('plugin.uninstall', gone)).toMatchObject({
      reload: { kind: 'cold', action: 'restart', restarting: false },
    });
    const told = wire.events.filter(({ type }) => type === 'plugin.changed').map(({ data }) => data);
    expect(told).toMatchObject([
      { plugin: 'lint', kind: 'cold', cause: params.operationId },
      { kind: 'skill-content-only', action: 'hot', reasons: { items: [{ path: SKILL }] } },
      { kind: 'skill-content-only', action: 'hot', cause: back.operationId },
      { kind: 'cold', action: 'restart', restarting: false, cause: gone.operationId },
    ]);
    const order = wire.received.map(({ name, params: what }) =>
      name === 'event' ? (what as { type: string }).type : name,
    );
    expect(order.indexOf('plugin.changed')).toBeLessThan(order.indexOf('r3'));
  });

  it('reports what lies in AIRLOCK_LOADED_DIR', async () => {
    const loadedDir = join(await scratch(), 'loaded');
    const agent = await startTestAgent({ env: { AIRLOCK_LOADED_DIR: loadedDir } });
    const wire = await Wire.start(agent);
    const { installId } = await put(wire, await version('1', '1'));
    await createLoader({ roots: [agent.layout.root], loadedDir }).loaded('lint', installId);
    expect((await get(wire)).loaded).toBe(installId);
    await put(wire, await version('2', '1'), false);
    await wire.request('runtime.restarted', { operationId: operationId() });
    expect((await get(wire)).pending).toBeUndefined();
    expect(await readdir(loadedDir)).toEqual(['lint.json']);
    expect(await readdir(agent.layout.root)).not.toContain('.loaded');
  });
});

describe('a dry run', () => {
  it('says what a push would, for short lists and for long ones', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const source = join(await scratch(), 'house-rules');
    await cp(examplePlugin, source, { recursive: true });
    const session = await openSession({
      url: `ws://${agent.host}:${agent.port}`,
      token: TOKEN,
      client: 'test',
    });
    const judge = async () => {
      const listed = await listDirectory(source);
      const short = await classify(session, listed);
      // The long way: the agent's list comes here.
      const long = await classify(session, listed, { listMax: 0 });
      expect(long).toEqual(short);
      return short;
    };
    try {
      expect(await judge()).toMatchObject({ kind: 'cold', restarting: false, reasons: { total: 1 } });
      const files: Record<string, Buffer> = {};
      for (const entry of await readdir(source, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        files[path.slice(source.length + 1)] = await readFile(path);
      }
      const bundle = await pack(files);
      await push(wire, beginOf('house-rules', bundle), bundle);
      // The packer of this test keeps no execute bits.
      const first = await judge();
      expect(first.reasons.items.every(({ why }) => why.includes('mode'))).toBe(true);
      await writeFile(join(source, 'rules/changes.md'), 'Another rule\n');
      const second = await judge();
      expect(second.reasons.items.map(({ path }) => path)).toContain('rules/changes.md');
      expect(second.reasons.total).toBe(first.reasons.total + 1);
    } finally {
      await session.close();
    }
    expect(wire.events.filter(({ type }) => type === 'plugin.changed')).toHaveLength(1);
  });

  it('leaves out what the agent ignores, for short lists and for long ones', async () => {
    const agent = await startTestAgent({ env: { AIRLOCK_IGNORE: 'LOCAL.md,*.cache' } });
    const wire = await Wire.start(agent);
    const files = { 'plugin.yaml': 'name: lint\nversion: 1.0.0\n', 'rules/a.md': 'one' };
    const bundle = await pack({ ...files, 'rules/a.cache': 'packed, and dropped' });
    await push(wire, beginOf('lint', bundle), bundle);
    const source = await scratch();
    for (const [path, text] of Object.entries({ ...files, 'rules/LOCAL.md': 'mine', 'x.cache': 'x' })) {
      await mkdir(join(source, path, '..'), { recursive: true });
      await writeFile(join(source, path), text);
    }
    const session = await openSession({
      url: `ws://${agent.host}:${agent.port}`,
      token: TOKEN,
      client: 'test',
    });
    const listed = await listDirectory(source);
    try {
      expect(listed.list.map(({ path }) => path)).toContain('rules/LOCAL.md');
      for (const options of [{}, { listMax: 0 }]) {
        expect(await classify(session, listed, options)).toMatchObject({ kind: 'identical', action: 'none' });
      }
      await writeFile(join(source, 'rules/a.md'), 'two');
      const changed = await listDirectory(source);
      for (const options of [{}, { listMax: 0 }]) {
        const { reasons } = await classify(session, changed, options);
        expect(reasons).toMatchObject({ items: [{ path: 'rules/a.md' }], total: 1 });
      }
    } finally {
      await session.close();
    }
  });

  it('is a command, which sends nothing, also without an agent', async () => {
    const program = await Program.open();
    try {
      await program.serveHere();
      const source = join(program.folder, 'house-rules');
      await cp(examplePlugin, source, { recursive: true });
      expect(await program.json(['classify', source])).toMatchObject({ plugin: 'house-rules', kind: 'cold' });
      await program.json(['push', source]);
      expect(await program.json(['classify', source])).toMatchObject({ kind: 'identical', action: 'none' });
      await writeFile(
        join(source, 'skills/write-a-commit/SKILL.md'),
        '---\nname: write-a-commit\ndescription: x\n---\n',
      );
      const hot = { plugin: 'house-rules', kind: 'skill-content-only', action: 'hot', restarting: false };
      expect(await program.json(['classify', source])).toMatchObject(hot);
      const local = await program.here(['classify', source, '--root', program.root, '--json']);
      expect(JSON.parse(local.stdout)).toMatchObject(hot);
      await writeFile(join(source, 'rules/changes.md'), 'Another rule\n');
      const ended = await program.run(['classify', source, '--to', program.url, '--json']);
      expect(ended.code).toBe(0);
      expect(JSON.parse(ended.stdout)).toMatchObject({ kind: 'cold', reasons: { total: 2 } });
      const pushed = (await program.json(['push', source, '--no-restart'])) as Installed;
      expect(pushed.reload).toMatchObject({ kind: 'cold', restarting: false, reasons: { total: 2 } });
      const [listed] = (await program.json(['list'])) as PluginInfo[];
      expect(listed?.pending).toMatchObject({ installId: pushed.installId });
      const { stdout } = await program.here(['list', '--root', program.root, '--json']);
      expect(JSON.parse(stdout)).toMatchObject([{ pending: { installId: pushed.installId } }]);
    } finally {
      await program.close();
    }
  });

  it('says what a push would leave out or refuse, and first what needs the restart', async () => {
    const program = await Program.open();
    onTestFinished(() => program.close());
    await program.serveHere();
    const source = join(program.folder, 'lint');
    const files = Array.from({ length: 25 }, (_, i) => `skills/s${10 + i}/SKILL.md`);
    const write = async (text: string): Promise<void> => {
      for (const file of ['plugin.yaml', 'zone.md', ...files]) {
        await mkdir(dirname(join(source, file)), { recursive: true });
        await writeFile(join(source, file), file === 'plugin.yaml' ? 'name: lint\nversion: 1.0.0\n' : text);
      }
    };
    await write('one');
    await program.json(['push', source]);
    await program.stop();
    await write('two');
    await writeFile(join(source, '.env'), '');
    await symlink('/nowhere', join(source, 'out'));
    const { code, text } = await inProcess(['classify', source, '--root', program.root]);
    expect(code).toBe(0);
    const lines = text.split('\n');
    expect(lines.slice(0, 3)).toEqual([
      'out is left out: the link points at nothing',
      '.env looks like a secret: a push takes it only with --allow-secret .env',
      'cold  lint: the runtime would have to be restarted',
    ]);
    expect(lines.slice(3, 5).join()).toMatch(/ {2}\.env: .* zone\.md: /);
    expect(lines.at(-2)).toBe('  and 7 more');
    const bundle = await inProcess(['classify', join(source, 'plugin.yaml'), '--root', program.root]);
    expect([bundle.code, bundle.text]).toEqual([
      2,
      expect.stringContaining('unpack any other archive first') as string,
    ]);
  });

  it('a push of what is there already says that its restart is still due', async () => {
    const program = await Program.open();
    onTestFinished(() => program.close());
    await program.serveHere();
    const tokens = join(program.folder, 'tokens');
    await writeFile(tokens, program.token);
    await program.json(['push', examplePlugin, '--no-restart']);
    const words = ['push', examplePlugin, '--to', program.url, '--token-file', tokens];
    expect((await inProcess(words)).text).toMatch(/present .*; the runtime still has to be restarted\)\n$/);
    await program.json(['restarted']);
    expect((await inProcess(words)).text).toMatch(/present .* m?s\)\n$/);
  });
});
