/** Who dials in to a platform: real sockets, agents of the tests. */
import { once } from 'node:events';

import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';

import { Fault } from '../../shared/api/fault.ts';
import { CLOSE } from '../../shared/api/rpc.ts';
import { FakeClock } from '../_kit/clock.ts';
import { until } from '../_kit/until.ts';
import { dialIn, HELLO } from './fake-agent.ts';
import { codeOf, dial, fake, here, names, openPlatform, shown, tokenOf } from './dialled.ts';

describe('who dials in', () => {
  it('is known by the token of its workspace, and by nothing else', async () => {
    const { url, agents } = await openPlatform();
    const refused = [
      {},
      shown('w1', tokenOf('w2')),
      shown('stranger'),
      { authorization: shown('w1')['authorization'] ?? '' },
      { 'airlock-workspace': 'w1' },
      { ...shown('w1'), authorization: `Basic ${tokenOf('w1')}` },
      shown('w1, w2', tokenOf('w1')),
    ];
    for (const headers of refused) {
      await expect(dialIn(fake('w1'), url, headers)).rejects.toThrow(/^401 .*UNAUTHENTICATED/);
    }
    await dial(url, 'w1');
    await here(agents, 'w1');
  });

  it('is told what authenticate says, and nothing of an error', async () => {
    const answers: Record<string, () => string> = {
      gone: () => {
        throw new Fault('FORBIDDEN', 'This workspace was deleted');
      },
      broken: () => {
        throw new Error('secret of the database');
      },
      empty: () => '',
    };
    const { url } = await openPlatform({
      authenticate: ({ headers }) => answers[String(headers['airlock-workspace'])]?.() ?? 'w1',
    });
    const said = (workspace: string) =>
      dialIn(fake(workspace), url, shown(workspace)).catch((error: unknown) => String(error));
    expect(await said('gone')).toMatch(/403 .*This workspace was deleted/);
    expect(await said('broken')).toMatch(/500 /);
    expect(await said('broken')).not.toContain('secret');
    expect(await said('empty')).toMatch(/401 /);
  });

  it('is no browser, speaks the protocol, and knows the path; what is not ours is left alone', async () => {
    const { server, port, url } = await openPlatform();
    await expect(dialIn(fake('w1'), url, { ...shown('w1'), origin: 'https://x.example' })).rejects.toThrow(
      /403/,
    );
    const other = new WebSocket(url, ['airlock.v2'], { headers: shown('w1') });
    expect(String((await once(other, 'error'))[0])).toContain('400');
    const elsewhere = `ws://127.0.0.1:${port}/elsewhere`;
    await expect(dialIn(fake('w1'), elsewhere, shown('w1'))).rejects.toThrow(/404 .*\/v1\/agents/);
    server.on('upgrade', ({ url: path }, socket) => {
      if (path === '/elsewhere') socket.end('HTTP/1.1 402 Mine\r\nContent-Length: 1\r\n\r\nx');
    });
    await expect(dialIn(fake('w1'), elsewhere, shown('w1'))).rejects.toThrow(/402/);
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('an answer of the platform');
  });

  it('is one of the workspace that its hello names, or none', async () => {
    const { url, agents, lost } = await openPlatform();
    const { socket } = await dial(url, 'w1', { hello: { ...HELLO, workspace: 'w2' } });
    expect((await once(socket, 'close'))[0]).toBe(CLOSE.policy);
    expect([names(agents), lost]).toEqual([[], []]);
  });

  it('says hello and starts a session in time', async () => {
    const clock = new FakeClock();
    const { url, agents } = await openPlatform({ clock });
    const { closed } = await dial(url, 'w1', { hello: null });
    await until(() => expect(clock.running).toBe(2));
    clock.advance(10_000);
    expect((await closed)[0]).toBe(1006);
    await until(() => expect(clock.running).toBe(0));
    expect(names(agents)).toEqual([]);
  });

  it('is refused beyond the most connections, and let in when another has left', async () => {
    const { url, agents } = await openPlatform({ max: 2 });
    const first = await dial(url, 'w1');
    await dial(url, 'w2');
    await expect(dialIn(fake('w3'), url, shown('w3'))).rejects.toThrow(/^429 30 /);
    first.socket.terminate();
    await here(agents, 'w2');
    await dial(url, 'w3');
    await here(agents, 'w2', 'w3');
  });

  it('is cut off if it asks without end and reads nothing', async () => {
    const { url, agents } = await openPlatform({ deadMillis: 600_000 });
    const { socket } = await dial(url, 'w1');
    await here(agents, 'w1');
    socket.pause();
    const ask = JSON.stringify({ jsonrpc: '2.0', id: 'x'.repeat(128), method: 'm'.repeat(64), params: 1 });
    while (agents.size === 1) {
      for (let i = 0; i < 2000; i += 1) socket.send(ask);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await here(agents);
  });
});

describe('of one workspace', () => {
  it('the newest connection counts, and its events go on where those of the old one ended', async () => {
    const { url, agents, lost, told } = await openPlatform();
    const old = await dial(url, 'w1');
    await here(agents, 'w1');
    old.tell(8);
    old.tell(9);
    await until(() => expect(told).toEqual(['w1 draining 8', 'w1 draining 9']));
    const { session } = agents.agent('w1');
    const fresh = await dial(url, 'w1');
    expect((await old.closed)[0]).toBe(CLOSE.replaced);
    await until(() => expect(fresh.starts).toHaveLength(1));
    expect(fresh.starts[0]).toMatchObject({ resume: { bootId: HELLO.bootId, seq: 9 } });
    fresh.tell(10);
    await until(() => expect(told.at(-1)).toBe('w1 draining 10'));
    expect(lost).toEqual(['w1 CONFLICT']);
    expect(agents.agent('w1').session).not.toBe(session);
    fresh.socket.terminate();
    await until(() => expect(lost).toEqual(['w1 CONFLICT', 'w1 UNREACHABLE']));
    const third = await dial(url, 'w1');
    await here(agents, 'w1');
    expect(third.starts[0]).toMatchObject({ resume: { bootId: HELLO.bootId, seq: 10 } });
  });

  it('connections that come and go leave nothing behind', async () => {
    const clock = new FakeClock();
    const { url, agents } = await openPlatform({ clock });
    const all = [];
    for (let i = 0; i < 40; i += 1) all.push(await dial(url, 'w1'));
    const last = all.pop();
    await Promise.all(all.map(({ closed }) => closed));
    await here(agents, 'w1');
    // The one that is left has one timer, which notices its silence.
    await until(() => expect(clock.running).toBe(1));
    last?.socket.terminate();
    await until(() => expect(clock.running).toBe(0));
  });

  it('nobody asks for events that are not wanted, and nothing is remembered of them', async () => {
    const { url, agents } = await openPlatform({ onEvent: undefined });
    const first = await dial(url, 'w1');
    await here(agents, 'w1');
    first.socket.terminate();
    await here(agents);
    const second = await dial(url, 'w1');
    await here(agents, 'w1');
    expect(second.starts).toEqual([{ client: 'test', events: [] }]);
  });
});

describe('at the end', () => {
  it('agents are told that the platform goes away, calls that wait fail, and the server stays', async () => {
    const clock = new FakeClock();
    const { port, url, agents } = await openPlatform({ clock });
    const { closed } = await dial(url, 'w1');
    await here(agents, 'w1');
    const waiting = codeOf(
      agents
        .agent('w2')
        .reach({ waitMillis: 60_000 })
        .then(({ state }) => Promise.reject(new Error(state))),
    );
    await until(() => expect(clock.running).toBe(2));
    await agents.close();
    expect((await closed)[0]).toBe(CLOSE.draining);
    expect(await waiting).toContain('unknown');
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('an answer of the platform');
    await expect(dialIn(fake('w1'), url, shown('w1'))).rejects.toThrow();
  });
});
