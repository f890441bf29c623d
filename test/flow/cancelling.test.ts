/** The signal at every phase of a push: it ends at once, tells the truth, and nothing is left in the agent. Real sockets and disks. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import type { Bundle } from '../../client/bundle.ts';
import { openSession } from '../../client/connect.ts';
import { push, type PushOptions } from '../../client/push.ts';
import { pushAll } from '../../client/push-all.ts';
import type { Session } from '../../client/session.ts';
import { type AgentOptions, TOKEN, type TestAgent, scratch, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin } from '../_kit/bundle.ts';
import { Cable, type CableOptions } from '../_kit/cable.ts';
import { type Said, lookAt, saidBy, untruths } from '../_kit/truth.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

type Scene = {
  agent: TestAgent;
  cable: Cable;
  bundle: Bundle;
  open: (signal: AbortSignal | undefined) => Promise<Session>;
  /** Sees the events of the agent. */
  witness: Wire;
};

async function scene(options: AgentOptions = {}, cableOptions: CableOptions = {}): Promise<Scene> {
  const agent = await startTestAgent(options);
  const cable = await Cable.lay(agent.port, cableOptions);
  onTestFinished(() => cable.close());
  const { bytes, size, sha256 } = await packPlugin('lint', '1.0.0', 2_000_000);
  const file = join(await scratch(), 'lint.tgz');
  await writeFile(file, bytes);
  return {
    agent,
    cable,
    bundle: { plugin: 'lint', file, size, sha256 },
    open: (signal) => openSession({ url: cable.url, token: TOKEN, client: 'test', signal }),
    witness: await Wire.start(agent),
  };
}

/** Pushes, and holds what is said against the disk. @returns what is said, when nothing is left in staging. */
async function pushed({ agent, bundle, open }: Scene, options: PushOptions): Promise<Said> {
  const { root, staging } = { root: join(agent.layout.staging, '..'), staging: agent.layout.staging };
  const before = await lookAt(root, 'lint');
  const said = await saidBy(push(open, bundle, options));
  await until(async () => expect(await readdir(staging)).toEqual([]));
  expect(untruths(before, await lookAt(root, 'lint'), said)).toEqual([]);
  return said;
}

const CANCELLED = { fault: { code: 'CANCELLED', executed: 'no' } };

it.each([
  ['while it connects', 0],
  ['before the hello', 140],
  ['in the middle of the hello', 400],
])('%s, over a line that is dead by then', async (_, bytes) => {
  const stop = new AbortController();
  const made = await scene({}, { cuts: [{ way: 'down', bytes, how: 'dead' }] });
  const running = pushed(made, { signal: stop.signal });
  await until(() => expect(made.cable.passages[0]?.ended).toBe('cut'));
  stop.abort();
  expect(await running).toMatchObject(CANCELLED);
});

it('while it waits for its turn', async () => {
  const stop = new AbortController();
  const made = await scene();
  const { bundle, witness } = made;
  const first = beginOf('lint', { ...bundle, bytes: Buffer.alloc(0) });
  await witness.request('install.begin', first);
  const running = saidBy(push(made.open, bundle, { signal: stop.signal }));
  const operations = async (): Promise<number> =>
    (await witness.request<{ operations: { total: number } }>('status', {})).operations.total;
  await until(async () => expect(await operations()).toBe(2));
  stop.abort();
  expect(await running).toMatchObject(CANCELLED);
  await witness.request('install.abort', { operationId: first.operationId });
  await until(async () => expect(await readdir(made.agent.layout.staging)).toEqual([]));
});

it('while it sends', async () => {
  const stop = new AbortController();
  const made = await scene();
  const onProgress = ({ sent }: { sent: number }): void => {
    if (sent > 500_000) stop.abort();
  };
  expect(await pushed(made, { signal: stop.signal, onProgress })).toMatchObject(CANCELLED);
  expect((await made.witness.event('install.failed')).data).toMatchObject({ error: { code: 'CANCELLED' } });
});

it('while it sends over a line that has gone dead: the agent is told over another one', async () => {
  const stop = new AbortController();
  const made = await scene({}, { cuts: [{ way: 'up', bytes: 700_000, how: 'dead' }] });
  const running = pushed(made, { signal: stop.signal });
  await until(() => expect(made.cable.passages[0]?.ended).toBe('cut'));
  stop.abort();
  expect(await running).toMatchObject(CANCELLED);
  expect((await made.witness.event('install.failed')).data).toMatchObject({ error: { code: 'CANCELLED' } });
});

it('between two tries: the agent does not wait for the client to come back', async () => {
  const stop = new AbortController();
  const made = await scene({}, { cuts: [{ way: 'up', bytes: 700_000, how: 'reset' }] });
  const onReconnect = (): void => stop.abort();
  expect(await pushed(made, { signal: stop.signal, onReconnect })).toMatchObject(CANCELLED);
  expect((await made.witness.event('install.failed')).data).toMatchObject({ error: { code: 'CANCELLED' } });
});

it('while the bundle is tested: the command is ended', async () => {
  const stop = new AbortController();
  const made = await scene({ env: { AIRLOCK_PROBE_COMMAND: 'sleep 29' } });
  const running = pushed(made, { signal: stop.signal });
  await made.witness.event('install.progress', { step: 'validate' });
  stop.abort();
  expect(await running).toMatchObject(CANCELLED);
});

it('after the swap is too late: the answer is the answer', async () => {
  const stop = new AbortController();
  const made = await scene();
  const session = await openSession({
    url: `ws://127.0.0.1:${made.agent.port}`,
    token: TOKEN,
    client: 'swap',
    events: ['install.swapped'],
    onEvent: () => stop.abort(),
  });
  expect(await pushed(made, { signal: stop.signal })).toMatchObject({ answer: { status: 'installed' } });
  await session.close();
});

it('stops a push of all plugins, and tells which are untried', async () => {
  const stop = new AbortController();
  const made = await scene();
  const market = await scratch();
  for (const name of ['a', 'b']) {
    await mkdir(join(market, name));
    await writeFile(join(market, name, 'plugin.yaml'), `name: ${name}\nversion: 1.0.0\n`);
    await writeFile(join(market, name, 'data.txt'), name.repeat(1_000_000));
  }
  const onProgress = (): void => stop.abort();
  const { plugins, stopped } = await pushAll(made.open, market, { signal: stop.signal, onProgress });
  expect(plugins.map(({ status }) => status)).toEqual(['cancelled', 'untried']);
  expect(stopped).toMatchObject({ code: 'CANCELLED' });
  await until(async () => expect(await readdir(made.agent.layout.staging)).toEqual([]));
});

it('at the deadline of the caller: DEADLINE, and nothing is left', async () => {
  const made = await scene({ env: { AIRLOCK_PROBE_COMMAND: 'sleep 29' } });
  const said = await pushed(made, { deadlineMillis: 1500 });
  expect(said).toMatchObject({ fault: { code: 'DEADLINE', executed: 'no' } });
});

it('ends a call and a connection at once', async () => {
  const { open, cable } = await scene({}, { cuts: [undefined, { way: 'down', bytes: 0, how: 'dead' }] });
  const session = await open(undefined);
  const call = saidBy(
    session.call('install.commit', { operationId: 'operation-x' }, { signal: AbortSignal.abort() }),
  );
  expect(await call).toMatchObject(CANCELLED);
  const stop = new AbortController();
  const connecting = saidBy(open(stop.signal) as never);
  await until(() => expect(cable.passages[1]?.ended).toBe('cut'));
  stop.abort();
  expect(await connecting).toMatchObject(CANCELLED);
  await session.close();
});
