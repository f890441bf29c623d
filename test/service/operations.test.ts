import { describe, expect, it } from 'vitest';

import { Fault } from '../../shared/api/fault.ts';
import { TIMEOUTS, RecordingLink, answerOf, paramsOf, settle } from '../_kit/engines.ts';
import { finish, makeOffice, open } from '../_kit/office.ts';
import { faultOf, send } from '../_kit/scene.ts';

describe('beginning an install', () => {
  it('opens a stream with the first window, on the number that the connection gave', async () => {
    const office = makeOffice();
    const begun = office.begin({}, new RecordingLink(7));
    await settle();
    office.pool.at().open();
    expect(await begun).toEqual({ status: 'open', stream: 7, offset: 0, limit: 100 });
  });

  it('takes no stream where nothing is to be sent', async () => {
    const office = makeOffice();
    const begun = office.begin();
    await settle();
    office.pool.at().tell({ kind: 'settled', answer: answerOf('present') });
    office.pool.at().done();
    expect(await begun).toEqual(answerOf('present'));
    expect(office.uploads).toEqual([]);
  });

  it('again goes on where the bytes had come to, over the newest connection', async () => {
    const office = makeOffice();
    const upload = await open(office);
    upload.accept(0, new Uint8Array(40), false);
    expect(await office.begin({}, new RecordingLink(9))).toMatchObject({ stream: 9, offset: 40 });
    expect(office.pool.engines).toHaveLength(1);
  });

  it('twice before there is a slot gives it to the newer connection', async () => {
    const office = makeOffice();
    const [first, second] = [new RecordingLink(1), new RecordingLink(2)];
    const both = [office.begin({}, first), office.begin({}, second)];
    await settle();
    office.pool.at().open();
    expect(await Promise.all(both)).toMatchObject([{ stream: 1 }, { stream: 2 }]);
    expect([first.drops, second.drops]).toEqual([[undefined], []]);
    expect(office.pool.engines).toHaveLength(1);
  });

  it('again while it is being committed waits for the same answer', async () => {
    const office = makeOffice();
    const upload = await open(office);
    upload.accept(0, new Uint8Array(100), true);
    void office.operations.commit('operation-1');
    const again = office.begin();
    office.pool.at().tell({ kind: 'validated', directories: [] });
    await settle();
    office.pool.at().installed();
    expect(await again).toEqual(answerOf());
  });

  it('with other parameters is a conflict, and the first goes on', async () => {
    const office = makeOffice();
    const upload = await open(office);
    for (const changes of [
      { plugin: 'other' },
      { bundle: { size: 101, sha256: 'a'.repeat(64) } },
      { restart: false },
      { expect: { installId: null } },
    ]) {
      expect(await faultOf(office.begin(changes))).toMatchObject({ code: 'CONFLICT', executed: 'no' });
    }
    expect(upload.failed).toBe(false);
  });

  it('again with a delta, with another one or without one begins anew, because other bytes come', async () => {
    const office = makeOffice();
    const base = '20260508T141530999Z-9f86d081';
    const deltas = [
      { base, size: 20, sha256: 'd'.repeat(64) },
      { base, size: 21, sha256: 'e'.repeat(64) },
      undefined,
    ];
    let before = await open(office);
    for (const [n, delta] of deltas.entries()) {
      before.accept(0, new Uint8Array(10), false);
      const begun = office.begin(delta === undefined ? {} : { delta }, new RecordingLink(n + 2));
      await settle();
      office.pool.at(n + 1).open();
      expect(await begun).toMatchObject({ status: 'open', offset: 0, limit: delta?.size ?? 100 });
      expect(before.failed).toBe(true);
      expect(office.pool.at(n).heard).toBe('begin data abort');
      before = office.uploads.at(-1) ?? before;
    }
  });

  it('with the same parameters in another order is the same question', async () => {
    const office = makeOffice();
    await open(office);
    const { bundle, plugin, operationId } = paramsOf();
    const reordered = { bundle, operationId, plugin };
    const again = office.operations.begin(reordered, 'test', () => new RecordingLink(2));
    expect(await again).toMatchObject({ status: 'open' });
  });

  it('after a failure begins anew, at the first byte and also with other parameters', async () => {
    const office = makeOffice();
    const upload = await open(office);
    upload.accept(0, new Uint8Array(40), false);
    office.operations.abort('operation-1');
    const begun = office.begin({ plugin: 'other' });
    await settle();
    office.pool.at(1).open();
    expect(await begun).toMatchObject({ status: 'open', offset: 0 });
  });

  it('in the moment in which it is given up answers why, and keeps no stream', async () => {
    const office = makeOffice();
    await open(office);
    const link = new RecordingLink(2);
    const again = office.begin({}, link);
    office.operations.abort('operation-1');
    expect((await faultOf(again)).code).toBe('CANCELLED');
    expect(office.uploads).toHaveLength(1);
  });

  it('that gets no stream is given up, and its thread is free', async () => {
    const office = makeOffice();
    const begun = office.operations.begin(paramsOf(), 'test', () => {
      throw new Fault('RATE_LIMITED', 'All streams are taken');
    });
    begun.catch(() => undefined);
    await settle();
    office.pool.at().open();
    expect((await faultOf(begun)).code).toBe('RATE_LIMITED');
    expect(office.pool.at().heard).toBe('begin abort');
  });

  it('again that gets no stream leaves the upload to the connection that has it', async () => {
    const office = makeOffice();
    const upload = await open(office);
    const again = office.operations.begin(paramsOf(), 'test', () => {
      throw new Fault('RATE_LIMITED', 'All streams are taken');
    });
    expect((await faultOf(again)).code).toBe('RATE_LIMITED');
    expect(upload.failed).toBe(false);
  });
});

describe('asking for an operation that has ended', () => {
  it('is answered from the disk, once the thread is free of it', async () => {
    const office = makeOffice();
    await finish(office, await open(office));
    const answer = office.operations.commit('operation-1');
    await settle();
    expect(office.questions.at().said).toMatchObject([
      { kind: 'call', name: 'operations.installed', params: { operationId: 'operation-1' } },
    ]);
    office.questions.at().tell({ kind: 'answer', answer: answerOf() });
    expect(await answer).toEqual(answerOf());
  });

  it('that nobody remembers is NOT_FOUND, and says that it can be begun again', async () => {
    const office = makeOffice();
    const answer = office.operations.commit('operation-9');
    answer.catch(() => undefined);
    await settle();
    office.questions.at().tell({ kind: 'answer', answer: undefined });
    expect(await faultOf(answer)).toMatchObject({ code: 'NOT_FOUND', retry: 'same', executed: 'no' });
  });

  it('tells why it failed, for as long as its connection could have come back', async () => {
    const office = makeOffice();
    await open(office);
    office.operations.abort('operation-1');
    office.pool.at().done();
    await settle();
    expect((await faultOf(office.operations.commit('operation-1'))).code).toBe('CANCELLED');
    office.clock.advance(TIMEOUTS.resume);
    void office.operations.commit('operation-1').catch(() => undefined);
    await settle();
    expect(office.questions.engines).toHaveLength(1);
  });

  it('is not answered by the failure of an earlier try under the same id', async () => {
    const office = makeOffice();
    await open(office);
    office.operations.abort('operation-1');
    office.pool.at().done();
    await settle();
    const upload = await open(office);
    for (const offset of [0, 1, 2]) {
      office.clock.advance(TIMEOUTS.resume / 3);
      send(upload, offset, 1);
    }
    expect(office.operations.abort('operation-1')).toBe(true);
    expect(upload.failed).toBe(true);
  });

  it('aborts nothing', () => {
    expect(makeOffice().operations.abort('operation-9')).toBe(false);
  });
});
