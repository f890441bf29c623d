/** From the socket to the disk and back: real connections, real threads, real archives. */
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { type TestAgent, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin, push, sendUpTo, sha256Of, treeOf } from '../_kit/bundle.ts';
import { until } from '../_kit/until.ts';
import { Refusal, Wire } from '../_kit/wire.ts';

const staging = ({ layout }: TestAgent): Promise<string[]> => readdir(layout.staging);
const emptied = (agent: TestAgent): Promise<void> =>
  until(async () => expect(await staging(agent)).toEqual([]));
const versionOf = async ({ layout }: TestAgent, plugin: string): Promise<string> =>
  /version: (.*)/.exec(await readFile(join(layout.live(plugin), 'plugin.yaml'), 'utf8'))?.[1] ?? '';

describe('an install over the wire', () => {
  it('answers when the plugin is live, and the gate admits it', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('lint', '1.2.3', 3_000_000);
    const params = beginOf('lint', bundle, { source: 'a test' });
    const answer = await push(wire, params, bundle);
    expect(answer).toMatchObject({
      status: 'installed',
      plugin: 'lint',
      pluginVersion: '1.2.3',
      bundle: `sha256:${bundle.sha256}`,
      files: 4,
      source: 'a test',
      by: 'token',
      replaced: null,
    });
    const gate = await createLoader({ roots: [agent.layout.root] }).gate('lint');
    expect(gate).toMatchObject({ admitted: true, plugin: { level: 'verified' } });
    expect(await wire.request('plugin.get', { plugin: 'lint' })).toMatchObject({
      status: 'admitted',
      installId: answer.installId,
    });
    expect(await wire.request('plugin.verify', { plugin: 'lint' })).toMatchObject({ verdict: 'intact' });
  });

  it('tells each of its steps, and all of them but the house-keeping before the answer', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('lint', '1.0.0');
    const params = beginOf('lint', bundle);
    const { installId } = await push(wire, params, bundle);
    const answered = wire.received.findIndex(({ kind, name }) => kind === 'answer' && name === 'r3');
    const before = wire.received
      .slice(0, answered)
      .flatMap(({ name, params: event }) =>
        name === 'event' ? [event as { seq: number; type: string; data: Record<string, unknown> }] : [],
      );
    expect(before.map(({ seq }) => seq)).toEqual(before.map((_, i) => i + 1));
    const operations = new Set(before.map(({ data }) => data['operationId'] ?? data['cause']));
    expect(operations).toEqual(new Set([params.operationId]));
    const words = before.map(({ type, data }) =>
      type === 'install.progress' ? `${String(data['step'])}${'millis' in data ? '' : ' …'}` : type,
    );
    expect(words).toEqual([
      'receive …',
      'receive',
      'stage',
      'validate',
      'install.staged',
      'seal',
      'swap',
      'verify',
      'install.swapped',
      'plugin.changed',
      'install.complete',
    ]);
    expect(before.at(-1)?.data).toMatchObject({ status: 'installed', installId, by: 'token' });
    await wire.event('install.progress', { step: 'collect' });
  });

  it('of what is live already is answered without a byte', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('lint', '1.0.0');
    const first = await push(wire, beginOf('lint', bundle), bundle);
    await wire.event('install.progress', { step: 'collect' });
    const before = await treeOf(agent.layout.live('lint'));
    const again: Installed = await wire.request('install.begin', beginOf('lint', bundle));
    expect(again).toMatchObject({ status: 'present', installId: first.installId });
    expect(again.reload).toMatchObject({ kind: 'identical', action: 'none', restarting: false });
    const other = { size: 7, sha256: 'f'.repeat(64) };
    const byTree = await wire.request('install.begin', {
      ...beginOf('lint', bundle),
      bundle: other,
      tree: first.tree,
    });
    expect(byTree).toMatchObject({ status: 'present' });
    expect(await treeOf(agent.layout.live('lint'))).toEqual(before);
    expect(await staging(agent)).toEqual([]);
  });

  it('of altered bytes is refused by their digest, and live is byte for byte what it was', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const first = await packPlugin('lint', '1.0.0');
    await push(wire, beginOf('lint', first), first);
    await wire.event('install.progress', { step: 'collect' });
    await emptied(agent);
    // Who has a lock is noted there, and goes a moment after the answer. The history tells of the refusals.
    const whole = (): Promise<Record<string, string>> => treeOf(agent.layout.root, ['.locks', '.history']);
    const before = await whole();
    const second = await packPlugin('lint', '2.0.0', 200_000);
    for (const place of [0, 20, 100_000, second.size - 1]) {
      const bytes = Buffer.from(second.bytes);
      bytes[place] = (bytes[place] ?? 0) ^ 0x01;
      const refused = await push(wire, beginOf('lint', second), { ...second, bytes }).catch(
        (e: unknown) => e,
      );
      expect(refused).toBeInstanceOf(Refusal);
      expect((refused as Refusal).data).toMatchObject({ code: 'DIGEST_MISMATCH', executed: 'no' });
      expect((refused as Refusal).data.detail).toContain(sha256Of(bytes));
    }
    await emptied(agent);
    // It was written to meanwhile; everything else is as it was.
    expect({ ...(await whole()), '.staging': '' }).toEqual({ ...before, '.staging': '' });
  });

  it('of two versions at once ends with the one that was committed last, each of them whole', async () => {
    const agent = await startTestAgent();
    const [one, two] = [await Wire.start(agent), await Wire.start(agent)];
    const [big, small] = [await packPlugin('lint', '1.0.0', 2_000_000), await packPlugin('lint', '2.0.0')];
    const [first, second] = [beginOf('lint', big), beginOf('lint', small)];
    await sendUpTo(one, await one.request('install.begin', first), big.bytes);
    await sendUpTo(two, await two.request('install.begin', second), small.bytes);
    // Over one connection, so that there is an order: the big one first, though the small one validates faster.
    const ids = [first, second].map(({ operationId }) => one.ask('install.commit', { operationId }));
    const [a, b] = (await Promise.all(ids.map((id) => one.answer(id)))) as [Installed, Installed];
    expect([a.pluginVersion, b.pluginVersion, b.replaced]).toEqual(['1.0.0', '2.0.0', a.installId]);
    expect(await versionOf(agent, 'lint')).toBe('2.0.0');
    expect(await one.request('plugin.verify', { plugin: 'lint' })).toMatchObject({ verdict: 'intact' });
  });

  it('of the same bundle under two ids is done once', async () => {
    const agent = await startTestAgent();
    const [one, two] = [await Wire.start(agent), await Wire.start(agent)];
    const bundle = await packPlugin('lint', '1.0.0');
    const first = beginOf('lint', bundle);
    const open = await one.request('install.begin', first);
    const waiting = two.request('install.begin', beginOf('lint', bundle));
    await sendUpTo(one, open, bundle.bytes);
    const answer: Installed = await one.request('install.commit', { operationId: first.operationId });
    expect(await waiting).toMatchObject({ status: 'present', installId: answer.installId });
  });
});

describe('a list over the wire', () => {
  it('of more than a hundred plugins comes whole on a stream, as far as the client lets it', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('p0', '1.0.0');
    await push(wire, beginOf('p0', bundle), bundle);
    for (let i = 1; i < 150; i += 1) {
      await mkdir(agent.layout.live(`p${i}`));
    }
    const { plugins, stream } = await wire.request('plugin.list', { all: true });
    expect([plugins.items.length, plugins.total]).toEqual([100, 150]);
    const sent = (): Buffer => Buffer.concat(wire.frames.map(({ data }) => data));
    wire.window(stream, 0, 1000);
    await wire.until(() => sent().length >= 1000);
    // An answer comes after whatever was sent before it: nothing beyond the credit is on its way.
    await wire.request('plugin.get', { plugin: 'p0' });
    expect(sent()).toHaveLength(1000);
    wire.window(stream, 1000, 10_000_000);
    await wire.until(() => wire.frames.at(-1)?.fin);
    const lines = sent().toString('utf8').trimEnd().split('\n');
    const all = lines.map((line) => JSON.parse(line) as { name: string; status: string });
    expect(all).toHaveLength(150);
    expect(all.slice(0, 100)).toEqual(plugins.items);
    expect(all.filter(({ status }) => status === 'admitted').map(({ name }) => name)).toEqual(['p0']);
  });
});

describe('events over the wire', () => {
  it('that were missed come when the client is back, exactly those and once', async () => {
    const agent = await startTestAgent();
    const [wire, watcher] = [await Wire.start(agent), await Wire.start(agent)];
    const bundle = await packPlugin('lint', '1.0.0');
    await push(wire, beginOf('lint', bundle), bundle);
    await watcher.event('install.progress', { step: 'collect' });
    const seen = watcher.events.slice(0, 4);
    const { bootId } = agent;
    const back = await Wire.start(agent, { start: { resume: { bootId, seq: seen.at(-1)?.seq ?? 0 } } });
    expect([...seen, ...back.events]).toEqual(watcher.events);
    expect(back.received.at(-1)).toMatchObject({
      params: { resumed: true, at: { bootId, seq: watcher.events.length } },
    });
  });

  it('of an agent that was restarted are a snapshot of what there is', async () => {
    const first = await startTestAgent();
    const bundle = await packPlugin('lint', '1.0.0');
    await push(await Wire.start(first), beginOf('lint', bundle), bundle);
    await first.close();
    const agent = await startTestAgent({ root: first.layout.root });
    const wire = await Wire.start(agent, { start: { resume: { bootId: first.bootId, seq: 3 } } });
    expect(wire.received.map(({ name }) => name)).toEqual(['hello', 'event', 'r1']);
    expect(wire.events).toMatchObject([
      { type: 'snapshot', bootId: agent.bootId, data: { plugins: { total: 1, items: [{ name: 'lint' }] } } },
    ]);
    expect(wire.received.at(-1)).toMatchObject({ params: { resumed: false } });
  });
});
