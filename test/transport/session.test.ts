import { describe, expect, it } from 'vitest';

import { deferred } from '../../agent/worker/deferred.ts';
import type { Executed } from '../../agent/service/execute.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { isMethod, isRead, methods } from '../../shared/api/methods.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { HELLO, Talk, listing, makeServed } from '../_kit/talk.ts';
import { paramsOf, settle } from '../_kit/engines.ts';

const error = (code: string): object => ({ error: { data: { code } } });
const OPERATION = { operationId: 'operation-1' };

describe('the start of a session', () => {
  it('is the hello of the agent, before anything was asked', () => {
    expect(new Talk(makeServed()).socket.texts).toEqual([{ jsonrpc: '2.0', method: 'hello', params: HELLO }]);
  });

  it('is required before every other method', async () => {
    const talk = new Talk(makeServed());
    for (const method of Object.keys(methods).filter((name) => name !== 'session.start')) {
      expect(await talk.ask(method, {})).toMatchObject(error('INVALID_PARAMS'));
    }
    expect(talk.session.started).toBe(false);
  });

  it('happens once', async () => {
    const talk = await Talk.start(makeServed());
    expect(talk.session.started).toBe(true);
    expect(await talk.ask('session.start', { client: 'x', events: 'all' })).toMatchObject(error('CONFLICT'));
  });

  it('happens once also if it is asked for twice at the same moment', async () => {
    const talk = new Talk(makeServed());
    const ids = [1, 2].map(() => talk.send('session.start', { client: 'x', events: 'all' }));
    await settle();
    talk.eventLog.publish({ type: 'draining', data: {} });
    expect(ids.map((id) => talk.answer(id))).toMatchObject([{ result: {} }, error('CONFLICT')]);
    expect(talk.socket.texts.filter(({ method }) => method === 'event')).toHaveLength(1);
  });

  // Was a bug: a session whose start had failed could only ever be answered CONFLICT.
  it('that failed can be tried again', async () => {
    let fails = true;
    const talk = new Talk(
      makeServed({
        'plugin.list': (params) =>
          fails ? Promise.reject(new Fault('READ_ONLY', 'By the test')) : listing([])(params),
      }),
    );
    const start = { client: 'x', events: 'all', resume: { bootId: 'boot-0', seq: 1 } };
    expect(await talk.ask('session.start', start)).toMatchObject(error('READ_ONLY'));
    expect(talk.session.started).toBe(false);
    fails = false;
    expect(await talk.ask('session.start', start)).toMatchObject({ result: { resumed: false } });
  });

  it('that is malformed does not count', async () => {
    const talk = new Talk(makeServed());
    for (const params of [undefined, {}, { client: 'x' }, { client: 'x', events: ['no such'] }]) {
      expect(await talk.ask('session.start', params)).toMatchObject(error('INVALID_PARAMS'));
    }
    expect(talk.session.started).toBe(false);
  });

  it('tells the work ahead of a writer, not of a reader', async () => {
    let expected = 0;
    const served = makeServed({ warm: () => void (expected += 1) });
    await Talk.start(served, { scope: 'read', label: 'r' });
    expect(expected).toBe(0);
    await Talk.start(served);
    expect(expected).toBe(1);
  });
});

describe('a request', () => {
  it('of a method that is not there is answered with -32601 and what is there', async () => {
    const talk = await Talk.start(makeServed());
    for (const method of ['no.such', '__proto__', 'toString', 'constructor', '']) {
      expect(await talk.ask(method)).toMatchObject({ error: { code: -32_601, data: { code: 'NOT_FOUND' } } });
    }
  });

  it('with a field that this agent does not know is refused, wherever the field stands', async () => {
    const talk = await Talk.start(makeServed());
    for (const [method, params] of [
      ['install.begin', { ...paramsOf(), expectt: null }],
      ['install.begin', { ...paramsOf(), bundle: { ...paramsOf().bundle, md5: 'x' } }],
      ['install.commit', { ...OPERATION, force: true }],
      ['plugin.list', { filter: 'x' }],
      ['plugin.get', { plugin: 'lint', version: 1 }],
    ] as const) {
      const answer = await talk.ask(method, params);
      expect(answer).toMatchObject({ error: { code: -32_000, data: { code: 'INVALID_PARAMS' } } });
    }
  });

  it('with a value that is none never comes to the service', async () => {
    const talk = await Talk.start(makeServed());
    const begins: object[] = [
      { plugin: '../etc' },
      { plugin: 'a..b' },
      { plugin: '.staging' },
      { operationId: '../../x' },
      { operationId: 'short' },
      { bundle: { size: 0, sha256: 'a'.repeat(64) } },
      { bundle: { size: 1.5, sha256: 'a'.repeat(64) } },
      { bundle: { size: 2 ** 60, sha256: 'a'.repeat(64) } },
      { bundle: { size: 1, sha256: 'A'.repeat(64) } },
      { expect: null },
    ];
    for (const changes of begins) {
      const answer = await talk.ask('install.begin', { ...paramsOf(), ...changes });
      expect(answer).toMatchObject(error('INVALID_PARAMS'));
    }
    for (const params of [null, [], 'x', 7]) {
      expect(await talk.ask('plugin.get', params)).toMatchObject(error('INVALID_PARAMS'));
    }
  });

  it('that writes is refused to a token that may only read', async () => {
    const talk = await Talk.start(makeServed(), { scope: 'read', label: 'dashboard' });
    const writing = Object.keys(methods).filter((name) => isMethod(name) && !isRead(name));
    expect(writing).toContain('install.begin');
    for (const method of writing) {
      expect(await talk.ask(method, {})).toMatchObject(error('FORBIDDEN'));
    }
    expect(await talk.ask('plugin.list')).toMatchObject({ result: { plugins: { items: [], total: 0 } } });
  });

  it('beyond the 64th in flight is refused, and there is room again when one is answered', async () => {
    const gate = deferred<PluginInfo>();
    const talk = await Talk.start(makeServed({ 'plugin.get': () => gate.promise }));
    const ids = Array.from({ length: WIRE.requestsInFlight }, () => talk.send('plugin.get', { plugin: 'a' }));
    expect(await talk.ask('plugin.get', { plugin: 'a' })).toMatchObject(error('RATE_LIMITED'));
    expect(ids.map((id) => talk.answer(id))).toEqual(ids.map(() => undefined));
    gate.resolve({ name: 'a', status: 'admitted' });
    await settle();
    expect(talk.answer(ids[0] ?? '')).toMatchObject({ result: { name: 'a' } });
    expect(await talk.ask('plugin.list')).toMatchObject({ result: {} });
  });

  it('that fails is answered with the whole fault, and with INTERNAL if it was none', async () => {
    const fault = new Fault('HELD', 'It is held', { hint: 'Release it' });
    const talk = await Talk.start(
      makeServed({
        'install.commit': () => Promise.reject(fault),
        'plugin.verify': () => Promise.reject(new Error('secret path')),
      }),
    );
    const answer = await talk.ask('install.commit', OPERATION);
    expect(answer?.['error']).toEqual({ code: -32_000, message: fault.title, data: fault.toData() });
    const verify = await talk.ask('plugin.verify', { plugin: 'a' });
    expect(verify).toMatchObject(error('INTERNAL'));
    expect(JSON.stringify(verify)).not.toContain('at ');
  });
});

describe('a frame that is no part of the protocol', () => {
  it.each([
    'no json',
    '',
    'null',
    '[]',
    '"x"',
    '7',
    '{}',
    '[{"jsonrpc":"2.0","id":"1","method":"plugin.list"}]',
    '{"jsonrpc":"1.0","id":"1","method":"plugin.list"}',
    '{"jsonrpc":"2.0","id":1,"method":"plugin.list"}',
    '{"jsonrpc":"2.0","id":null,"method":"plugin.list"}',
    '{"jsonrpc":"2.0","id":"","method":"plugin.list"}',
    '{"jsonrpc":"2.0","id":"1","method":7}',
    '{"jsonrpc":"2.0","id":"1","method":"plugin.list","extra":1}',
    '{"jsonrpc":"2.0","method":"plugin.list"}',
    '{"jsonrpc":"2.0","id":"1","result":{}}',
    '{"jsonrpc":"2.0","method":"window"}',
    '{"jsonrpc":"2.0","method":"window","params":{"stream":1,"offset":0,"limit":-1}}',
    '{"jsonrpc":"2.0","method":"window","params":{"stream":1,"offset":0,"limit":1e300}}',
    '['.repeat(100_000),
    '['.repeat(100_000) + ']'.repeat(100_000),
  ])('closes with 1002: %#', async (text) => {
    const talk = await Talk.start(makeServed());
    talk.session.text(text);
    expect(talk.closed).toEqual([1002]);
  });

  it.each([
    ['is too short', Buffer.alloc(15)],
    ['has an unknown type', Buffer.from([2, ...Array<number>(15).fill(0)])],
    ['has an unknown flag', Buffer.from([1, 2, ...Array<number>(14).fill(0)])],
    ['has something in the reserved field', Buffer.from([1, 0, 0, 1, ...Array<number>(12).fill(0)])],
    ['has an offset beyond 2^53', Buffer.from([1, 0, 0, 0, 0, 0, 0, 1, ...Array<number>(8).fill(0xff)])],
    ['carries more than 64 KiB', Buffer.concat([Buffer.from([1]), Buffer.alloc(64 * 1024 + 16)])],
  ])('closes with 1002 if it %s', async (_, bytes) => {
    const talk = await Talk.start(makeServed());
    talk.session.binary(bytes);
    expect(talk.closed).toEqual([1002]);
  });

  it('closes with 1002 if it belongs to a stream that was never opened', async () => {
    for (const stream of [0, 1, 2, 4_294_967_295]) {
      const talk = await Talk.start(makeServed());
      talk.frame(stream, 0, 10);
      expect(talk.closed).toEqual([1002]);
    }
  });
});

describe('a connection that has ended', () => {
  it('gets no answer and no event any more', async () => {
    const gate = deferred<PluginInfo>();
    const talk = await Talk.start(makeServed({ 'plugin.get': () => gate.promise }));
    talk.send('plugin.get', { plugin: 'a' });
    talk.session.ended();
    const before = talk.socket.texts.length;
    gate.resolve({ name: 'a', status: 'admitted' });
    talk.eventLog.publish({ type: 'draining', data: {} });
    await settle();
    expect(talk.socket.texts).toHaveLength(before);
  });

  it('stops its feed, also one that begins only then', async () => {
    const list = deferred<Executed<'plugin.list'>>();
    const talk = new Talk(makeServed({ 'plugin.list': () => list.promise }));
    const listen = talk.eventLog.listen.bind(talk.eventLog);
    let listeners = 0;
    talk.eventLog.listen = (listener) => {
      const stop = listen(listener);
      listeners += 1;
      return () => {
        listeners -= 1;
        stop();
      };
    };
    talk.send('session.start', { client: 'x', events: 'all', resume: { bootId: 'boot-0', seq: 1 } });
    talk.session.ended();
    list.resolve(await listing([])({}));
    await settle();
    expect(listeners).toBe(0);
  });
});
