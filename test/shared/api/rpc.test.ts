import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { Fault } from '../../../shared/api/fault.ts';
import { LIST_MAX, truncate } from '../../../shared/truncate.ts';
import {
  RPC_FAULT,
  RPC_METHOD_NOT_FOUND,
  readMessage,
  writeFailure,
  writeNotification,
  writeRequest,
  writeSuccess,
} from '../../../shared/api/rpc.ts';

describe('what one side writes the other reads', () => {
  test('a request', () => {
    expect(readMessage(writeRequest('1', 'plugin.get', { plugin: 'lint' }))).toEqual({
      ok: true,
      message: { kind: 'request', id: '1', method: 'plugin.get', params: { plugin: 'lint' } },
    });
  });

  test('a notification', () => {
    expect(readMessage(writeNotification('event', { seq: 1 }))).toEqual({
      ok: true,
      message: { kind: 'notification', method: 'event', params: { seq: 1 } },
    });
  });

  test.each([[{ plugins: [] }], [null], [false]])('an answer: %j', (result) => {
    expect(readMessage(writeSuccess('1', result))).toEqual({
      ok: true,
      message: { kind: 'success', id: '1', result },
    });
  });

  test('a fault', () => {
    const fault = new Fault('HELD', 'It is held', { hint: 'Force it' });
    const reading = readMessage(writeFailure('1', fault));
    expect(reading).toMatchObject({ ok: true, message: { kind: 'failure', id: '1' } });
    if (reading.ok && reading.message.kind === 'failure') {
      expect(reading.message.fault.toData()).toEqual(fault.toData());
    }
    expect(JSON.parse(writeFailure('1', fault))).toMatchObject({
      error: { code: RPC_FAULT, message: fault.title },
    });
  });
});

test('an error without data, as other implementations send it, is INTERNAL', () => {
  const text = `{"jsonrpc":"2.0","id":null,"error":{"code":${RPC_METHOD_NOT_FOUND},"message":"Unknown"}}`;
  const reading = readMessage(text);
  expect(reading).toMatchObject({
    ok: true,
    message: { kind: 'failure', id: null, fault: { code: 'INTERNAL' } },
  });
});

test('an answer may hold fields that are unknown, a request may not', () => {
  expect(readMessage('{"jsonrpc":"2.0","id":"1","result":1,"later":2}')).toMatchObject({ ok: true });
  expect(readMessage('{"jsonrpc":"2.0","id":"1","method":"a","params":{},"later":2}')).toMatchObject({
    ok: false,
  });
});

test.each([
  ['nothing', ''],
  ['no JSON', '{'],
  ['null', 'null'],
  ['a batch', '[{"jsonrpc":"2.0","id":"1","method":"a","params":{}}]'],
  ['version 1', '{"jsonrpc":"1.0","id":"1","method":"a","params":{}}'],
  ['no version', '{"id":"1","method":"a","params":{}}'],
  ['a number as id', '{"jsonrpc":"2.0","id":1,"method":"a","params":{}}'],
  ['an empty id', '{"jsonrpc":"2.0","id":"","method":"a","params":{}}'],
  ['an id without end', `{"jsonrpc":"2.0","id":"${'1'.repeat(129)}","method":"a","params":{}}`],
  ['a method without end', `{"jsonrpc":"2.0","id":"1","method":"${'a'.repeat(65)}","params":{}}`],
  ['an answer without a result', '{"jsonrpc":"2.0","id":"1"}'],
  ['an error that is none', '{"jsonrpc":"2.0","id":"1","error":"no"}'],
])('malformed: %s', (_, text) => {
  expect(readMessage(text)).toMatchObject({ ok: false, why: expect.any(String) });
});

test('whatever the text, reading it never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(readMessage(text).ok).toBe(false);
    }),
  );
});

test('lists are cut after 100 and say how many there were', () => {
  const list = Array.from({ length: 101 }, (_, i) => i);
  expect(truncate(list)).toEqual({ items: list.slice(0, LIST_MAX), total: 101 });
  expect(truncate([1])).toEqual({ items: [1], total: 1 });
});
