/** A proxy in between that cuts idle connections meets none: agent and client are never silent for so long. */
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';

import { WIRE } from '../../shared/api/rpc.ts';
import { startTestAgent } from '../_kit/agent.ts';
import { type Opened, beginOf, packPlugin, sendUpTo } from '../_kit/bundle.ts';
import { Cable } from '../_kit/cable.ts';
import { Wire } from '../_kit/wire.ts';

const IDLE_MILLIS = 20_000;
const LONG = { stall: 1e7, resume: 1e7, deadline: 1e7 };

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

afterEach(() => vi.useRealTimers());

it('cuts nobody who follows events or waits long for an answer', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  const agent = await startTestAgent({ timeouts: LONG });
  const cable = await Cable.lay(agent.port, { idleMillis: IDLE_MILLIS });
  onTestFinished(() => cable.close());
  const follower = await Wire.start(cable);
  const sender = await Wire.start(cable);
  const waiter = await Wire.start(cable);
  const bundle = await packPlugin('lint', '1.0.0', 100_000);
  const first = beginOf('lint', bundle);
  const open: Opened = await sender.request('install.begin', first);
  await sendUpTo(sender, open, bundle.bytes, 50_000);
  // The same bundle waits for the first one: no frame comes for minutes.
  const waiting = waiter.request('install.begin', beginOf('lint', bundle));
  const turns = (4 * 60_000) / WIRE.pingMillis;
  for (let i = 0; i < turns; i += 1) {
    const before = cable.passages.map(({ up, down }) => ({ up, down }));
    vi.advanceTimersByTime(WIRE.pingMillis);
    // A ping has come through to each of them, and its pong to the agent.
    const isHeard = (): boolean =>
      cable.passages.every(({ up, down }, n) => up > (before[n]?.up ?? 0) && down > (before[n]?.down ?? 0));
    while (!isHeard() && cable.passages.every(({ ended }) => ended === undefined)) await turn();
  }
  expect(cable.passages.map(({ ended }) => ended)).toEqual([undefined, undefined, undefined]);
  await sendUpTo(sender, { ...open, offset: 50_000 }, bundle.bytes);
  await sender.request('install.commit', { operationId: first.operationId });
  expect(await waiting).toMatchObject({ status: 'present' });
  await follower.event('install.complete', { operationId: first.operationId });
});
