/** Exports through an agent and without one: the same bytes, one version, and readers that are slow, gone or many. */
import { createHash } from 'node:crypto';
import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { packDirectory } from '../../client/index.ts';
import { type TestAgent, TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { WAYS, inProcess, makeScene } from '../_kit/two-ways.ts';
import { Wire } from '../_kit/wire.ts';
import { until } from '../_kit/until.ts';
import { bundleOf, sha256 } from '../_kit/install-room.ts';

vi.setConfig({ testTimeout: 120_000 });

describe.each(WAYS)('airlock export, %s', (way) => {
  it('writes the bundle that a push finds present, with the same bytes each time', async () => {
    const scene = await makeScene(way);
    const { folder, root, token } = scene.program;
    const out = join(folder, 'out.tgz');
    const exported = await scene.said(['export', 'lint', '-o', out]);
    const bytes = await readFile(out);
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect(exported).toMatchObject({
      plugin: 'lint',
      installId: scene.ids[1],
      files: 6,
      size: bytes.length,
      sha256: digest,
    });
    expect(await scene.said(['export', 'lint', '-o', out], 1)).toMatchObject({ error: { code: 'CONFLICT' } });
    await scene.said(['export', 'lint', '-o', out, '--force']);
    expect((await readFile(out)).equals(bytes)).toBe(true);
    const before = await scene.said([
      'export',
      'lint',
      '-o',
      join(folder, 'one.tgz'),
      '--version',
      scene.ids[0] ?? '',
    ]);
    expect(before).toMatchObject({ pluginVersion: '1.0.1', installId: scene.ids[0] });
    const packed = await packDirectory(join(root, 'lint'));
    expect([packed.sha256, (exported as { tree: string }).tree]).toEqual([digest, packed.tree]);
    await packed.dispose();
    if (way === 'through an agent') {
      // It was packed by another packer, so the first time only the tree is the same.
      const { tree } = exported as { tree: string };
      const push = async (): Promise<unknown> =>
        JSON.parse((await scene.program.here(['push', out, '--to', scene.program.url, '--json'])).stdout);
      expect(await push()).toMatchObject({ status: 'installed', tree, reload: { kind: 'identical' } });
      expect(await push()).toMatchObject({ status: 'present', tree });
    }
    const shown = await inProcess(['export', 'lint', ...scene.target, '--out', out, '--force'], {
      AIRLOCK_TOKEN: token,
    });
    expect([shown.code, shown.stdout]).toEqual([
      0,
      expect.stringMatching(/^exported {2}lint 1\.0\.2 \(.*\) to .*out\.tgz\n {2}6 files/),
    ]);
    expect((await readdir(folder)).filter((name) => name.includes('.tmp'))).toEqual([]);
  });

  it('writes the bytes to standard output, and everything else beside it', async () => {
    const scene = await makeScene(way, [0]);
    const out = join(scene.program.folder, 'out.tgz');
    await scene.said(['export', 'lint', '-o', out]);
    const child = scene.program.start(['export', 'lint', ...scene.target, '-o', '-']);
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, Buffer.concat(parts).equals(await readFile(out))]).toEqual([0, true]);
  });

  it('refuses files that were edited in place, unless they are asked for', async () => {
    const scene = await makeScene(way, [0]);
    const out = join(scene.program.folder, 'out.tgz');
    await appendFile(join(scene.program.root, 'lint/plugin.yaml'), '# edited\n');
    expect(await scene.said(['export', 'lint', '-o', out], 1)).toMatchObject({ error: { code: 'CONFLICT' } });
    await scene.said(['export', 'lint', '-o', out, '--drifted']);
    expect(await scene.said(['export', 'none', '-o', out, '--force'], 1)).toMatchObject({
      error: { code: 'NOT_FOUND' },
    });
  });
});

/** Some megabytes that hardly compress: more than a window, and many pieces. */
async function withLarge(agent: TestAgent): Promise<void> {
  const noise = Array.from({ length: 400_000 }, (_, i) => Math.imul(i, 2_654_435_761) >>> 0).join('');
  const bytes = bundleOf({ 'noise.md': noise });
  const wire = await Wire.start(agent);
  const operationId = 'operation-large';
  const bundle = { size: bytes.length, sha256: sha256(bytes) };
  const { stream } = await wire.request('install.begin', { operationId, plugin: 'lint', bundle });
  for (let at = 0; at < bytes.length; at += 65_536) {
    const data = bytes.subarray(at, at + 65_536);
    await wire.until(() => limitOf(wire, stream, 1_048_576) >= at + data.length);
    wire.frame(stream, at, data, at + data.length === bytes.length);
  }
  await wire.request('install.commit', { operationId });
  wire.socket.close();
}
const limitOf = (wire: Wire, stream: number, first: number): number =>
  (wire.notifications('window') as { stream: number; limit: number }[])
    .filter((window) => window.stream === stream)
    .reduce((most, { limit }) => Math.max(most, limit), first);

type Opened = { stream: number };
const received = (wire: Wire, stream: number): number =>
  wire.frames.filter((frame) => frame.stream === stream).reduce((sum, { data }) => sum + data.length, 0);

describe('an agent that exports', () => {
  it('sends what it was given credit for, and no more, and goes on with more credit', async () => {
    const agent = await startTestAgent();
    await withLarge(agent);
    const wire = await Wire.start(agent);
    const { stream } = await wire.request<Opened>('plugin.export', { plugin: 'lint' });
    wire.window(stream, 0, 100_000);
    await wire.until(() => received(wire, stream) === 100_000);
    await wire.request('plugin.list', {});
    expect(received(wire, stream)).toBe(100_000);
    wire.window(stream, 100_000, Number.MAX_SAFE_INTEGER);
    await wire.until(() => wire.frames.some((frame) => frame.stream === stream && frame.fin));
    expect(received(wire, stream)).toBeGreaterThan(1_200_000);
  });

  it('lists and changes plugins beside readers that read nothing', async () => {
    const agent = await startTestAgent();
    await withLarge(agent);
    // However long this takes, their patience of 30 s is not over.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const stalled = await Wire.start(agent);
    for (let n = 0; n < 4; n += 1) {
      const { stream } = await stalled.request<Opened>('plugin.export', { plugin: 'lint' });
      stalled.window(stream, 0, 1000);
    }
    const wire = await Wire.start(agent);
    expect(await wire.request('plugin.list', {})).toMatchObject({ plugins: { total: 1 } });
    const params = { operationId: 'operation-hold', plugin: 'lint', why: 'beside exports' };
    expect(await wire.request('plugin.hold', params)).toMatchObject({ held: 'beside exports' });
    expect(stalled.notifications('reset')).toEqual([]);
  });

  it('frees the thread of a reader that cancels, and of one that vanishes', async () => {
    const agent = await startTestAgent();
    await withLarge(agent);
    for (let round = 0; round < 3; round += 1) {
      const wire = await Wire.start(agent);
      for (let n = 0; n < 4; n += 1) {
        const { stream } = await wire.request<Opened>('plugin.export', { plugin: 'lint' });
        wire.window(stream, 0, 100_000);
        if (round === 0) wire.text(JSON.stringify({ jsonrpc: '2.0', method: 'cancel', params: { stream } }));
      }
      await wire.vanish();
    }
    const wire = await Wire.start(agent);
    const { stream } = await wire.request<Opened>('plugin.export', { plugin: 'lint' });
    wire.window(stream, 0, Number.MAX_SAFE_INTEGER);
    await wire.until(() => wire.frames.some(({ fin }) => fin));
    expect(wire.notifications('reset')).toEqual([]);
  });

  it('ends an export whose files are edited with the reason, and closes nothing else', async () => {
    const agent = await startTestAgent();
    await withLarge(agent);
    const wire = await Wire.start(agent);
    const { stream } = await wire.request<Opened>('plugin.export', { plugin: 'lint' });
    await writeFile(join(agent.layout.live('lint'), 'plugin.yaml'), 'name: lint\nversion: 6.6.6\n');
    wire.window(stream, 0, Number.MAX_SAFE_INTEGER);
    expect(await wire.notification('reset')).toMatchObject({ stream, error: { code: 'DIGEST_MISMATCH' } });
    expect(wire.frames.some(({ fin }) => fin)).toBe(false);
    await until(async () =>
      expect(await wire.request('plugin.list', {})).toMatchObject({ plugins: { total: 1 } }),
    );
  });

  it('refuses it to nobody who may read, and ends it when it shuts down', async () => {
    const token = 'a-token-that-may-only-read-of-40-characters';
    const folder = await scratch();
    const tokens = join(folder, 'tokens');
    await writeFile(tokens, `read ${token} reader\nwrite ${TOKEN} writer\n`);
    const agent = await startTestAgent({ env: { AIRLOCK_TOKEN_FILE: tokens, AIRLOCK_TOKEN: '' } });
    await withLarge(agent);
    const wire = await Wire.start(agent, { token });
    const { stream } = await wire.request<Opened>('plugin.export', { plugin: 'lint' });
    wire.window(stream, 0, 1000);
    await wire.until(() => received(wire, stream) > 0);
    await agent.close();
    expect((await wire.closed).code).toBe(1001);
  });
});
