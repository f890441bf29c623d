/** Calls to agents that have dialled in: agents of the tests and real ones. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { Fault } from '../../shared/api/fault.ts';
import { scratch, startTestAgent } from '../_kit/agent.ts';
import { Cable } from '../_kit/cable.ts';
import { FakeClock } from '../_kit/clock.ts';
import { until } from '../_kit/until.ts';
import { type Behaviour, installed } from './fake-agent.ts';
import { receiver } from './receiver.ts';
import {
  ABSENT,
  DISABLE,
  answering,
  bundleFile,
  codeOf,
  dial,
  here,
  openPlatform,
  tokenOf,
} from './dialled.ts';

describe('a call', () => {
  it('is answered by the agent; its fault is passed on', async () => {
    const { url, agents } = await openPlatform();
    await dial(url, 'w1', answering(ABSENT));
    await dial(url, 'w2', {
      onRequest: ({ id }, peer) => peer.refuse(id, new Fault('HELD', 'It is held')),
    });
    await here(agents, 'w1', 'w2');
    expect(await agents.agent('w1').call('plugin.disable', DISABLE)).toEqual(ABSENT);
    expect(await codeOf(agents.agent('w2').call('plugin.disable', DISABLE))).toBe('HELD never');
  });

  it('whose connection breaks is asked again, with the same operation, when the agent is back', async () => {
    const { url, agents } = await openPlatform();
    const asked: unknown[] = [];
    const first = await dial(url, 'w1', {
      onRequest: ({ params }, { socket }) => {
        asked.push(params);
        socket.terminate();
      },
    });
    await here(agents, 'w1');
    const answer = agents.agent('w1').call('plugin.disable', DISABLE);
    await first.closed;
    await dial(url, 'w1', {
      onRequest: ({ id, params }, peer) => {
        asked.push(params);
        peer.answer(id, ABSENT);
      },
    });
    expect(await answer).toEqual(ABSENT);
    expect(asked).toEqual([DISABLE, DISABLE]);
  });

  it('is given up when the agent stays away, and says that it may have taken effect', async () => {
    const clock = new FakeClock();
    const { url, agents } = await openPlatform({ clock });
    await dial(url, 'w1', { onRequest: (_, { socket }) => socket.terminate() });
    await here(agents, 'w1');
    const answer = agents.agent('w1').call('plugin.disable', DISABLE);
    answer.catch(() => undefined);
    await here(agents);
    await until(() => expect(clock.running).toBe(1));
    clock.advance(90_000);
    await expect(answer).rejects.toMatchObject({ code: 'UNREACHABLE', executed: 'maybe' });
    expect(clock.running).toBe(0);
  });

  it('that crashes the agent each time is not repeated for ever', async () => {
    const { url, agents } = await openPlatform();
    let asked = 0;
    const crashing: Behaviour = {
      onRequest: (_, { socket }) => {
        asked += 1;
        socket.terminate();
        dial(url, 'w1', crashing).catch(() => undefined);
      },
    };
    await dial(url, 'w1', crashing);
    await here(agents, 'w1');
    expect(await codeOf(agents.agent('w1').call('plugin.disable', DISABLE))).toBe('UNREACHABLE same');
    expect(asked).toBe(6);
  });

  it('of which a stream is a part is not repeated', async () => {
    const { url, agents } = await openPlatform();
    await dial(url, 'w1', { onRequest: (_, { socket }) => socket.terminate() });
    await here(agents, 'w1');
    expect(await codeOf(agents.agent('w1').call('plugin.list', { all: true }))).toBe('UNREACHABLE same');
  });

  it('to an agent that is not connected waits as long as it is told, and not at all by default', async () => {
    const clock = new FakeClock();
    const { url, agents } = await openPlatform({ clock });
    const agent = agents.agent('w1');
    expect(await codeOf(agent.call('plugin.disable', DISABLE))).toBe('UNREACHABLE later');
    const waiting = codeOf(agent.call('plugin.disable', DISABLE, { waitMillis: 5000 }));
    await until(() => expect(clock.running).toBe(1));
    clock.advance(5000);
    expect(await waiting).toBe('UNREACHABLE later');
    const stop = new AbortController();
    const stopped = codeOf(agent.call('plugin.disable', DISABLE, { waitMillis: 5000, signal: stop.signal }));
    await until(() => expect(clock.running).toBe(1));
    stop.abort();
    expect(await stopped).toBe('CANCELLED same');
    const patient = agent.call('plugin.disable', DISABLE, { waitMillis: 5000 });
    await dial(url, 'w1', answering(ABSENT));
    expect(await patient).toEqual(ABSENT);
    await until(() => expect(clock.running).toBe(1));
  });
});

describe('the three answers', () => {
  it('are those of connect, for an agent that has dialled in or has not', async () => {
    const { url, agents } = await openPlatform({
      notRunning: async (workspace) => (workspace === 'cold' ? 'it was never started' : undefined),
      externalPull: async (workspace) =>
        workspace === 'far' ? '/workspaces/far/plugins/:name/download' : undefined,
    });
    await dial(url, 'w1', answering(installed('lint')));
    await dial(url, 'far', answering(ABSENT));
    await here(agents, 'far', 'w1');
    const stateOf = async (workspace: string): Promise<string> =>
      (await agents.agent(workspace).reach()).state;
    expect([await stateOf('w1'), await stateOf('w2'), await stateOf('cold')]).toEqual([
      'reachable',
      'unknown',
      'not-running',
    ]);
    const bundle = await bundleFile();
    for (const work of [
      agents.agent('far').reach(),
      agents.agent('far').call('plugin.uninstall', { operationId: 'operation-1', plugin: 'lint' }),
      agents.agent('far').push(bundle),
    ]) {
      await expect(work).rejects.toMatchObject({
        code: 'RUNTIME_EXTERNAL',
        hint: expect.stringContaining('/workspaces/far/plugins/:name/download'),
      });
    }
    // What an external workspace does not refuse reaches its agent.
    expect(await agents.agent('far').call('plugin.disable', DISABLE)).toEqual(ABSENT);
    await expect(agents.agent('cold').push(bundle)).rejects.toMatchObject({
      code: 'UNREACHABLE',
      retry: 'never',
      message: expect.stringContaining('never started'),
    });
  });
});

describe('a selection', () => {
  it('is called a few at a time, and one that fails stops no other', async () => {
    const { url, agents } = await openPlatform();
    let running = 0;
    let most = 0;
    const workspaces = Array.from({ length: 12 }, (_, i) => `w${i}`);
    for (const workspace of workspaces) {
      await dial(url, workspace, {
        onRequest: ({ id }, peer) => {
          running += 1;
          most = Math.max(most, running);
          setImmediate(() => {
            running -= 1;
            if (workspace === 'w3') peer.refuse(id, new Fault('LOCKED', 'It is locked'));
            else peer.answer(id, ABSENT);
          });
        },
      });
    }
    await here(agents, ...workspaces);
    const seen: string[] = [];
    const results = await agents.each(
      [...workspaces, 'w0', 'away'],
      (agent) => agent.call('plugin.disable', DISABLE),
      { concurrency: 4, onResult: ({ workspace }) => seen.push(workspace) },
    );
    expect(results.map(({ workspace }) => workspace)).toEqual([...workspaces, 'away']);
    expect(seen.toSorted()).toEqual([...workspaces, 'away'].toSorted());
    const failed = results.flatMap((result) =>
      result.ok ? [] : [`${result.workspace} ${result.fault.code}`],
    );
    expect(failed).toEqual(['w3 LOCKED', 'away UNREACHABLE']);
    expect(most).toBe(4);
    expect(await agents.each('all', async ({ workspace }) => workspace)).toHaveLength(12);
  });

  it('is not gone through further after the signal', async () => {
    const { agents } = await openPlatform();
    const stop = new AbortController();
    const results = await agents.each(['w1', 'w2', 'w3'], async () => stop.abort(), {
      concurrency: 1,
      signal: stop.signal,
    });
    expect(results.map((result) => (result.ok ? 'done' : result.fault.code))).toEqual([
      'done',
      'CANCELLED',
      'CANCELLED',
    ]);
  });
});

describe('a push', () => {
  it('goes on where it was when the agent is back, and keeps the connection', async () => {
    const { url, agents } = await openPlatform();
    const bundle = await bundleFile(300_000);
    const to = receiver({ window: 100_000, cuts: [150_000] });
    await dial(url, 'w1', to);
    await here(agents, 'w1');
    const pushed = agents.agent('w1').push(bundle, {
      onReconnect: () => void dial(url, 'w1', to),
      random: () => 0,
    });
    expect(await pushed).toMatchObject({ status: 'installed' });
    expect(to.begins).toHaveLength(2);
    expect(to.begins[0]?.['operationId']).toBe(to.begins[1]?.['operationId']);
    expect(to.wrong).toEqual([]);
    expect(agents.size).toBe(1);
  });

  it('that is told to wait leaves the connection to the other calls', async () => {
    const { url, agents } = await openPlatform();
    let asked = 0;
    await dial(url, 'w1', {
      onRequest: ({ id }, peer) => {
        asked += 1;
        if (asked === 1) peer.refuse(id, new Fault('RATE_LIMITED', 'Too many streams'));
        else peer.answer(id, installed('lint', { status: 'present' }));
      },
    });
    await here(agents, 'w1');
    const { session } = agents.agent('w1');
    const pushed = agents.agent('w1').push(await bundleFile(), { sleep: () => Promise.resolve() });
    expect(await pushed).toMatchObject({ status: 'present' });
    expect(agents.agent('w1').session).toBe(session);
  });

  it('to an agent that stays away ends, and says whether it may have taken effect', async () => {
    const { url, agents } = await openPlatform();
    const to = receiver({ window: 100_000, cuts: [10_000] });
    await dial(url, 'w1', to);
    await here(agents, 'w1');
    await expect(
      agents.agent('w1').push(await bundleFile(300_000), { awayMillis: 50, sleep: () => Promise.resolve() }),
    ).rejects.toMatchObject({
      code: 'UNREACHABLE',
      executed: 'no',
      message: expect.stringMatching(/broke/),
    });
  });

  it('reaches real agents, over a cable that is cut, and each once; their events come once and in order', async () => {
    const events: string[] = [];
    const { port, agents } = await openPlatform({
      onEvent: (workspace, { bootId, seq, type }) => events.push([workspace, bootId, seq, type].join(' ')),
    });
    const cable = await Cable.lay(port);
    onTestFinished(() => cable.close());
    const folder = await scratch();
    const started = await Promise.all(
      ['w1', 'w2'].map(async (workspace) => {
        const token = join(folder, workspace);
        await writeFile(token, tokenOf(workspace));
        return startTestAgent({
          token: '',
          env: {
            AIRLOCK_DIAL: `ws://127.0.0.1:${cable.port}`,
            AIRLOCK_DIAL_TOKEN_FILE: token,
            AIRLOCK_WORKSPACE: workspace,
          },
        });
      }),
    );
    await here(agents, 'w1', 'w2');
    const bundle = await bundleFile(3_000_000);
    let cuts = 0;
    const results = await agents.push(['w1', 'w2', 'w3'], bundle, {
      onProgress: ({ sent }) => {
        if (sent > 1_000_000 && cuts === 0) {
          cuts += 1;
          cable.truncate();
        }
      },
    });
    expect(results.map((result) => (result.ok ? result.value.status : result.fault.code))).toEqual([
      'installed',
      'installed',
      'UNREACHABLE',
    ]);
    expect(results[0]).toMatchObject({ value: { by: 'dial' } });
    await here(agents, 'w1', 'w2');
    for (const [i, workspace] of ['w1', 'w2'].entries()) {
      const own = events.filter((event) => event.startsWith(`${workspace} `));
      const seqs = own.map((event) => Number(event.split(' ')[2]));
      expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
      expect(new Set(seqs).size).toBe(seqs.length);
      expect(own.filter((event) => event.endsWith('install.complete'))).toHaveLength(1);
      expect(own[0]).toContain(started[i]?.bootId);
    }
    expect(await agents.agent('w1').call('plugin.get', { plugin: 'lint' })).toMatchObject({
      status: 'admitted',
    });
    await started[0]?.close();
    await here(agents, 'w2');
  });
});
