/** Declared plugins against a real agent: what differs, and how it is made so. */
import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { beforeEach, describe, expect, it, vi } from 'vitest';

import {
  type Bundle,
  type Declared,
  openSession,
  type Reconciled,
  reconcile,
  type ReconcileOptions,
} from '../../client/index.ts';
import type { Session } from '../../client/session.ts';
import { type AgentOptions, type TestAgent, TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { serveBundles } from '../_kit/bundle-server.ts';
import { type Packed, bundleIn, lineOf } from '../_kit/bundles.ts';
import { faultOf } from '../_kit/scene.ts';
import { Wire } from '../_kit/wire.ts';

vi.setConfig({ testTimeout: 60_000 });

let bundles: string;
beforeEach(async () => {
  bundles = join(await scratch(), 'bundles');
});

type Scene = {
  agent: TestAgent;
  open: (signal?: AbortSignal) => Promise<Session>;
  /** Name, state, action and fate of each plugin. */
  run: (declared: readonly Declared[], options?: ReconcileOptions) => Promise<string[]>;
};

async function scene(options: AgentOptions = {}): Promise<Scene> {
  const agent = await startTestAgent(options);
  const open = (signal?: AbortSignal): Promise<Session> =>
    openSession({ url: `ws://${agent.host}:${agent.port}`, token: TOKEN, client: 'test', signal });
  const run: Scene['run'] = async (declared, more) => {
    const { plugins, stopped } = await reconcile(open, declared, { bundles, ...more });
    expect(stopped).toBeUndefined();
    return plugins.map(saying);
  };
  return { agent, open, run };
}

const saying = ({ name, state, action, fate }: Reconciled): string =>
  [name, state, ...(action === 'none' ? [] : [action]), ...(fate === undefined ? [] : [fate])].join(' ');

async function put(root: string, { name, files }: Packed, more: Record<string, string> = {}): Promise<void> {
  for (const [path, text] of Object.entries({ ...files, ...more })) {
    await mkdir(dirname(join(root, name, path)), { recursive: true });
    await writeFile(join(root, name, path), text);
  }
}

const markers = async ({ layout }: TestAgent, names: readonly string[]): Promise<string[]> =>
  Promise.all(names.map((name) => readFile(join(layout.live(name), '.complete'), 'utf8')));

describe('a reconcile', () => {
  it('delivers what is missing or stale, adopts what is there without a marker, and does nothing the second time', async () => {
    const { agent, run } = await scene();
    const [a, b, c, old, d] = [
      await bundleIn(bundles, 'a'),
      await bundleIn(bundles, 'b', '2.0.0'),
      await bundleIn(bundles, 'c'),
      await bundleIn(bundles, 'b', '1.0.0'),
      await bundleIn(bundles, 'd'),
    ];
    await run([old].map(lineOf));
    await put(agent.layout.root, c);
    await put(agent.layout.root, d, { 'more.txt': 'not declared' });
    const declared = [a, b, c, d].map(lineOf);
    const planned = ['a missing deliver', 'b stale deliver', 'c unmarked adopt', 'd unmarked adopt'];
    expect(await run(declared, { check: true })).toEqual(planned);
    expect(await readdir(agent.layout.live('b'))).toContain('plugin.yaml');
    expect(await run(declared)).toEqual([
      'a missing deliver installed',
      'b stale deliver installed',
      'c unmarked adopt adopted',
      // Its files are not those that are declared.
      'd unmarked adopt installed',
    ]);
    const before = await markers(agent, ['a', 'b', 'c', 'd']);
    expect(before.map((text) => (JSON.parse(text) as { tree: string }).tree)).toEqual(
      [a, b, c, d].map(({ tree }) => tree),
    );
    const events = await Wire.start(agent);
    expect(await run(declared)).toEqual(['a present', 'b present', 'c present', 'd present']);
    expect(await markers(agent, ['a', 'b', 'c', 'd'])).toEqual(before);
    // The house-keeping of the installs before may still say that it is over.
    expect(events.events.filter(({ type }) => type !== 'install.progress')).toEqual([]);
  });

  it('repairs edits only on request, leaves what is held, and reports what is not declared', async () => {
    const { agent, open, run } = await scene();
    const [a, b, b2, c] = [
      await bundleIn(bundles, 'a'),
      await bundleIn(bundles, 'b'),
      await bundleIn(bundles, 'b', '2.0.0'),
      await bundleIn(bundles, 'c'),
    ];
    await run([a, b, c].map(lineOf));
    await writeFile(join(agent.layout.live('a'), 'rules/a.md'), 'edited, and longer than before');
    const session = await open();
    await session.call('plugin.hold', { operationId: 'operation-hold', plugin: 'b', why: 'a test' });
    await session.close();
    const declared = [a, b2].map(lineOf);
    const found = ['a drifted', 'b held', 'c unmanaged'];
    expect(await run(declared, { check: true })).toEqual(found);
    expect(await run(declared)).toEqual(found);
    expect(await readFile(join(agent.layout.live('a'), 'rules/a.md'), 'utf8')).toMatch(/^edited/);
    expect(await run(declared, { repair: true })).toEqual([
      'a drifted deliver installed',
      'b held',
      'c unmanaged',
    ]);
    expect(await run(declared)).toEqual(['a present', 'b held', 'c unmanaged']);
  });

  it('says of a disabled or broken plugin that it is there, and delivers what no marker vouches for', async () => {
    const { agent, open, run } = await scene();
    const [a, b] = [await bundleIn(bundles, 'a'), await bundleIn(bundles, 'b')];
    await run([a, b].map(lineOf));
    const session = await open();
    await session.call('plugin.disable', { operationId: 'operation-disable', plugin: 'a', disabled: true });
    await session.close();
    // Somebody has copied a directory.
    await cp(agent.layout.live('a'), agent.layout.live('c'), { recursive: true });
    const c = await bundleIn(bundles, 'c');
    await writeFile(join(agent.layout.live('b'), '.complete'), 'torn');
    const { plugins } = await reconcile(open, [a, b, c].map(lineOf), { check: true });
    expect(plugins.map(saying)).toEqual(['a present', 'b unmarked deliver', 'c unmarked deliver']);
    expect(plugins.map(({ detail }) => detail)).toEqual([
      'it is disabled',
      expect.stringContaining('(marker-invalid)'),
      expect.stringContaining('(marker-foreign)'),
    ]);
    await run([a, b, c].map(lineOf));
    expect(await run([a, b, c].map(lineOf))).toEqual(['a present', 'b present', 'c present']);
  });

  it('lets the agent pull what is not at hand, and one bad plugin does not stop the others', async () => {
    const { agent, run } = await scene();
    const elsewhere = join(await scratch(), 'server');
    const [a, b, c, d, e] = [
      await bundleIn(elsewhere, 'a'),
      await bundleIn(bundles, 'b'),
      await bundleIn(elsewhere, 'c'),
      await bundleIn(elsewhere, 'd'),
      await bundleIn(bundles, 'e'),
    ];
    const server = await serveBundles((request, response) => {
      const bytes = (request.url ?? '').startsWith('/a') ? a.bytes : undefined;
      response.writeHead(bytes === undefined ? 404 : 200);
      response.end(bytes);
    });
    const from = (one: Packed): Declared => ({
      ...lineOf(one),
      source: `${server.origin}/${one.name}.tgz?key=k`,
    });
    await writeFile(e.file, 'no bundle any more');
    const declared = [from(a), from(b), from(c), lineOf(d), lineOf(e)];
    expect(await run(declared)).toEqual([
      'a missing deliver installed',
      'b missing deliver installed',
      'c missing deliver failed',
      'd missing deliver failed',
      'e missing deliver failed',
    ]);
    // What is at hand is pushed, and no marker has the query of a URL.
    expect(server.requests.map(({ path }) => path).toSorted()).toEqual(['/a.tgz?key=k', '/c.tgz?key=k']);
    expect(
      (await markers(agent, ['a', 'b'])).map((text) => (JSON.parse(text) as { source: string }).source),
    ).toEqual([`${server.origin}/a.tgz`, `${server.origin}/b.tgz`]);
    expect(await run(declared, { check: true })).toEqual([
      'a present',
      'b present',
      'c missing deliver',
      'd missing deliver',
      'e missing deliver',
    ]);
  });

  it('pushes the bundles of a map, unless they are others than those that are declared', async () => {
    const { open } = await scene();
    const [a, b] = [await bundleIn(bundles, 'a'), await bundleIn(bundles, 'b')];
    const at = ({ file, bytes, bundle }: Packed, plugin: string): Bundle => ({
      plugin,
      file,
      size: bytes.length,
      sha256: bundle.slice('sha256:'.length),
    });
    const declared = [lineOf(a), { name: 'b', bundle: b.bundle }, { name: 'c', tree: a.tree }, { name: 'd' }];
    const { plugins } = await reconcile(open, declared, {
      bundles: new Map([
        ['a', at(a, 'whatever')],
        ['b', at(a, 'b')],
        ['c', at(b, 'c')],
      ]),
    });
    expect(plugins.map(({ name, fate, error }) => [name, fate, error?.code])).toEqual([
      ['a', 'installed', undefined],
      ['b', 'failed', 'DIGEST_MISMATCH'],
      ['c', 'failed', expect.any(String)],
      ['d', 'failed', 'NOT_FOUND'],
    ]);
  });

  it('goes on where its connection broke', async () => {
    const { open, run } = await scene();
    const declared = await Promise.all(Array.from({ length: 12 }, (_, i) => bundleIn(bundles, `p${i}`)));
    const sessions: Session[] = [];
    const opening = async (signal: AbortSignal | undefined): Promise<Session> => {
      const session = await open(signal);
      sessions.push(session);
      return session;
    };
    const { plugins } = await reconcile(opening, declared.map(lineOf), {
      bundles,
      sleep: () => Promise.resolve(),
      // The first connection ends as soon as one plugin is there.
      onPlugin: () => void (sessions.length === 1 && sessions[0]?.close()),
    });
    expect(plugins.map(({ fate }) => fate)).toEqual(declared.map(() => 'installed'));
    expect(sessions.length).toBeGreaterThan(1);
    expect(await run(declared.map(lineOf))).toEqual(declared.map(({ name }) => `${name} present`));
  });

  it('of more plugins than an answer holds is whole', async () => {
    const { run } = await scene();
    const many = Array.from({ length: 1000 }, (_, i) => ({
      name: `a-plugin-with-quite-a-long-name-${i}`,
      version: '1.0.0',
      tree: `sha256:${'a'.repeat(64)}`,
      bundle: `sha256:${'b'.repeat(64)}`,
    }));
    expect(await run(many, { check: true })).toEqual(many.map(({ name }) => `${name} missing deliver`));
  });

  it('is refused with a reason', async () => {
    const { agent, open } = await scene();
    const line = { name: 'a', version: '1.0.0' };
    expect(await faultOf(reconcile(open, [line, line], { check: true }))).toMatchObject({
      code: 'INVALID_PARAMS',
      message: '"a" is declared twice',
    });
    expect(
      await faultOf(reconcile(open, [line], { bundles: join(agent.layout.root, 'nothing') })),
    ).toMatchObject({
      code: 'INVALID_PARAMS',
    });
    const wire = await Wire.start(agent);
    const withoutId = wire.request('reconcile', { declared: [line], mode: 'apply' });
    await expect(withoutId).rejects.toThrow('needs an operation id');
  });

  it('only looks with a token that may read', async () => {
    const tokens = join(await scratch(), 'tokens');
    await writeFile(tokens, `read ${'r'.repeat(32)} dashboard\n`, { mode: 0o600 });
    const agent = await startTestAgent({ env: { AIRLOCK_TOKEN_FILE: tokens } });
    const open = (): Promise<Session> =>
      openSession({ url: `ws://${agent.host}:${agent.port}`, token: 'r'.repeat(32), client: 'test' });
    const one = await bundleIn(bundles, 'a');
    const { plugins } = await reconcile(open, [lineOf(one)], { check: true });
    expect(plugins.map(saying)).toEqual(['a missing deliver']);
    const { stopped } = await reconcile(open, [lineOf(one)], { bundles });
    expect(stopped).toMatchObject({ code: 'FORBIDDEN' });
    expect(await readdir(agent.layout.root)).not.toContain('a');
  });

  it('answers an apply once for its operation id, also after the agent was started again', async () => {
    const { agent } = await scene();
    const one = await bundleIn(bundles, 'a');
    await put(agent.layout.root, one);
    const params = { operationId: 'operation-apply', declared: [lineOf(one)], mode: 'apply' };
    const first = await (await Wire.start(agent)).request('reconcile', params);
    expect(first).toMatchObject({ plugins: { items: [{ name: 'a', state: 'unmarked', fate: 'adopted' }] } });
    await agent.close();
    const again = await startTestAgent({ root: agent.layout.root });
    const wire = await Wire.start(again);
    expect(await wire.request('reconcile', params)).toEqual(first);
    const other = wire.request('reconcile', { ...params, declared: [{ name: 'b' }] });
    await expect(other).rejects.toMatchObject({ data: { code: 'CONFLICT' } });
  });
});
