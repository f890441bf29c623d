import { describe, expect, it, vi } from 'vitest';
import type { AgentEvent } from '../../client/feed.ts';
import type { Clock } from '../../shared/clock.ts';
import { Fault } from '../../shared/api/fault.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { agent, fault, peer, plugin, session, start, endsConversations } from './conversation.ts';

endsConversations();

describe('requests', () => {
  it('gives each question its own answer, in whatever order they come', async () => {
    const held: (() => void)[] = [];
    await start({
      onRequest: ({ id, params }, to) => {
        held.unshift(() => to.answer(id, { ...plugin(String(params['plugin'])), future: 1 }));
        if (held.length === 3) for (const answer of held) answer();
      },
    });
    const names = ['a', 'b', 'c'];
    const answers = await Promise.all(names.map((name) => session.call('plugin.get', { plugin: name })));
    expect(answers.map(({ name }) => name)).toEqual(names);
    expect(answers[0]).not.toHaveProperty('future');
    expect(agent.violations).toEqual([]);
  });

  it('keeps at most 64 in flight and loses none', async () => {
    let seen = 0;
    let open = 0;
    let most = 0;
    const held: (() => void)[] = [];
    const release = (): void => {
      for (const answer of held.splice(0)) answer();
    };
    await start({
      onRequest: ({ id, params }, to) => {
        seen += 1;
        open += 1;
        most = Math.max(most, open);
        held.push(() => {
          open -= 1;
          to.answer(id, plugin(String(params['plugin'])));
        });
        // A moment later, in which one too many would come.
        if (held.length === WIRE.requestsInFlight || seen === 200) setTimeout(release, 20);
      },
    });
    const asked = Array.from({ length: 200 }, (_, i) => session.call('plugin.get', { plugin: `p${i}` }));
    expect((await Promise.all(asked)).at(-1)?.name).toBe('p199');
    expect(most).toBe(WIRE.requestsInFlight);
  });

  it('says of a request that a connection in its end did not take that it was not executed', async () => {
    await start();
    const closing = session.close();
    const unsent = await fault(session.call('plugin.get', { plugin: 'x' }));
    expect(unsent).toMatchObject({ code: 'UNREACHABLE', retry: 'same', executed: 'no' });
    await closing;
  });

  it('rejects with the fault that the agent sent', async () => {
    await start({
      onRequest: ({ id }, to) => to.refuse(id, new Fault('NOT_FOUND', 'There is no plugin "x" here')),
    });
    expect(await fault(session.call('plugin.get', { plugin: 'x' }))).toMatchObject({
      code: 'NOT_FOUND',
      message: 'There is no plugin "x" here',
    });
  });

  it('says so when an answer makes no sense', async () => {
    await start({ onRequest: ({ id }, to) => to.answer(id, { nonsense: true }) });
    expect(await fault(session.call('plugin.get', { plugin: 'x' }))).toMatchObject({
      code: 'INTERNAL',
      executed: 'maybe',
    });
  });

  it('rejects everything that is pending when the connection breaks', async () => {
    await start({ onRequest: (_, to) => to.socket.terminate() });
    const asked = ['a', 'b'].map((name) => fault(session.call('plugin.get', { plugin: name })));
    for (const error of await Promise.all(asked)) {
      expect(error).toMatchObject({ code: 'UNREACHABLE', retry: 'same', executed: 'maybe' });
    }
    expect((await session.closed).code).toBe(1006);
    expect((await fault(session.call('plugin.get', { plugin: 'c' }))).code).toBe('UNREACHABLE');
  });

  it('tells the code and reason with which the agent closed', async () => {
    await start();
    peer().socket.close(1008, 'too slow');
    expect(await session.closed).toEqual({ code: 1008, reason: 'too slow' });
  });

  it('lets a cancelled request go, also the late answer', async () => {
    await start({ onRequest: ({ id, method }, to) => void setTimeout(() => to.answer(id, method), 50) });
    const controller = new AbortController();
    const asked = fault(session.call('plugin.get', { plugin: 'x' }, { signal: controller.signal }));
    controller.abort();
    expect((await asked).code).toBe('CANCELLED');
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(session.position.seq).toBe(7);
  });

  it('answers a question of the agent with "method not found"', async () => {
    await start();
    const answer = new Promise<string>((resolve) => {
      peer().socket.on('message', (data: Buffer) => resolve(data.toString()));
    });
    peer().socket.send('{"jsonrpc":"2.0","id":"q","method":"do.this","params":{}}');
    expect(JSON.parse(await answer)).toMatchObject({ id: 'q', error: { code: -32_601 } });
  });

  it.each([
    ['text that is not JSON', 'nonsense'],
    ['a batch', '[{"jsonrpc":"2.0","method":"event","params":{}}]'],
    ['a window that is none', '{"jsonrpc":"2.0","method":"window","params":{"stream":-1}}'],
    ['an event that is none', '{"jsonrpc":"2.0","method":"event","params":{"type":"x"}}'],
    ['a binary frame that is too short', Buffer.alloc(3)],
    ['a binary frame of an unknown type', Buffer.alloc(32, 9)],
  ])('closes with 1002 on %s', async (_, frame) => {
    await start();
    const code = new Promise((resolve) => void peer().socket.on('close', resolve));
    const asked = fault(session.call('plugin.get', { plugin: 'x' }));
    peer().socket.send(frame);
    expect(await code).toBe(1002);
    expect((await asked).code).toBe('UNREACHABLE');
  });

  it('lets an unknown notification pass', async () => {
    await start({ onRequest: ({ id }, to) => to.answer(id, plugin('x')) });
    peer().notify('weather', { sunny: true });
    expect((await session.call('plugin.get', { plugin: 'x' })).name).toBe('x');
  });
});

describe('liveness', () => {
  it('declares a silent agent dead after 45 s, and not while it is heard', async () => {
    let now = 0;
    let look: (() => void) | undefined;
    const clock: Clock = {
      now: () => now,
      after: (_, run) => {
        look = run;
        return () => {};
      },
    };
    await start({}, { clock });
    const asked = fault(session.call('plugin.get', { plugin: 'x' }));
    now = 44_000;
    const pong = new Promise((resolve) => void peer().socket.once('pong', resolve));
    peer().socket.ping();
    await pong;
    now = 60_000;
    look?.();
    expect(await Promise.race([asked, Promise.resolve('pending')])).toBe('pending');
    now = 44_000 + 45_000;
    look?.();
    expect(await asked).toMatchObject({ code: 'UNREACHABLE', retry: 'same' });
    expect((await asked).message).toContain('the agent was silent for 45 s');
  });
});

describe('events', () => {
  const at = '2026-05-08T14:15:30.123Z';

  it('tells the known ones parsed, the unknown ones as they are, and remembers the place', async () => {
    const told: AgentEvent[] = [];
    await start({}, { events: 'all' });
    const both = new Promise<void>((resolve) => {
      session.onEvent((event) => {
        told.push(event);
        if (told.length === 2) resolve();
      });
    });
    const data = { operationId: 'operation-1', plugin: 'x', tree: 't', files: 1, bytes: 2, more: 3 };
    peer().notify('event', { bootId: 'boot-1', seq: 8, at, type: 'install.staged', data, extra: 1 });
    peer().notify('event', { bootId: 'boot-1', seq: 9, at, type: 'plugin.loaded', data: { plugin: 'x' } });
    await both;
    expect(told[0]).toMatchObject({ known: true, type: 'install.staged', data: { plugin: 'x', files: 1 } });
    expect(told[1]).toMatchObject({ known: false, type: 'plugin.loaded', data: { plugin: 'x' } });
    expect(session.position).toEqual({ bootId: 'boot-1', seq: 9 });
  });

  it('go to the other listeners too when one throws, and the connection goes on', async () => {
    const told: number[] = [];
    await start({}, { events: 'all' });
    const [heard, uncaught] = [vi.fn<() => void>(), vi.spyOn(globalThis, 'queueMicrotask')];
    session.onEvent(({ seq }) => {
      throw new Error(`the listener fails at ${seq}`);
    });
    session.onEvent(({ seq }) => {
      told.push(seq);
      heard();
    });
    uncaught.mockImplementation(() => {});
    for (const seq of [8, 9]) {
      peer().notify('event', { bootId: 'boot-1', seq, at, type: 'draining', data: {} });
    }
    await vi.waitFor(() => expect(heard).toHaveBeenCalledTimes(2));
    const rethrows = uncaught.mock.calls.map(([rethrow]) => rethrow);
    uncaught.mockRestore();
    expect(told).toEqual([8, 9]);
    const failures = rethrows.flatMap((rethrow) => {
      try {
        rethrow();
        return [];
      } catch (error) {
        return [String(error)];
      }
    });
    expect(failures).toEqual(['Error: the listener fails at 8', 'Error: the listener fails at 9']);
    expect(session.position).toEqual({ bootId: 'boot-1', seq: 9 });
  });

  it('hears events that come in one breath with the hello', async () => {
    const told: AgentEvent[] = [];
    await start(
      { onStart: (to) => to.notify('event', { bootId: 'boot-1', seq: 8, at, type: 'draining', data: {} }) },
      { events: 'all', onEvent: (event) => told.push(event) },
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(told.map(({ type }) => type)).toEqual(['draining']);
  });
});
