/** Several operations at once: twins that wait for each other, and the end of the agent. */
import { describe, expect, it } from 'vitest';

import { answerOf, settle } from '../_kit/engines.ts';
import { finish, makeOffice, open } from '../_kit/office.ts';
import { faultOf } from '../_kit/scene.ts';

const ONE = { operationId: 'operation-1' };
const TWO = { operationId: 'operation-2' };
const THREE = { operationId: 'operation-3' };

describe('twins: the same plugin and bundle under two ids', () => {
  it('wait for each other, and the second asks again when the first is installed', async () => {
    const office = makeOffice();
    const first = await open(office, ONE);
    const second = office.begin(TWO);
    await settle();
    expect(office.pool.engines).toHaveLength(1);
    await finish(office, first);
    expect(office.pool.at(1).heard).toBe('begin');
    office.pool.at(1).tell({ kind: 'settled', answer: answerOf('present') });
    office.pool.at(1).done();
    expect(await second).toEqual(answerOf('present'));
  });

  it('proceed with the second when the first fails, and with the third only after that', async () => {
    const office = makeOffice();
    await open(office, ONE);
    const second = office.begin(TWO);
    void office.begin(THREE);
    office.operations.abort('operation-1');
    office.pool.at().done();
    await settle();
    expect(office.pool.engines).toHaveLength(2);
    office.pool.at(1).open();
    expect(await second).toMatchObject({ status: 'open', offset: 0 });
    await settle();
    expect(office.pool.engines).toHaveLength(2);
    await finish(office, office.uploads.at(-1), office.pool.at(1));
    expect(office.pool.at(2).said).toMatchObject([{ kind: 'begin', params: THREE }]);
  });

  it('wait until the thread of the first has cleaned up', async () => {
    const office = makeOffice();
    await open(office, ONE);
    void office.begin(TWO);
    office.operations.abort('operation-1');
    await settle();
    expect(office.pool.engines).toHaveLength(1);
  });

  it('do not wait for another bundle, or for the bundle of another plugin', async () => {
    const office = makeOffice();
    await open(office, ONE);
    void office.begin({ ...TWO, plugin: 'other' });
    void office.begin({ ...THREE, bundle: { size: 100, sha256: 'b'.repeat(64) } });
    await settle();
    expect(office.pool.engines).toHaveLength(3);
  });

  it('can be aborted while they wait, and never take a thread then', async () => {
    const office = makeOffice();
    const first = await open(office, ONE);
    const second = office.begin(TWO);
    await settle();
    expect(office.operations.abort('operation-2')).toBe(true);
    expect((await faultOf(second)).code).toBe('CANCELLED');
    await finish(office, first);
    expect(office.pool.engines).toHaveLength(1);
  });
});

describe('draining', () => {
  it('begins nothing more, gives up what is not sealed and waits for what is', async () => {
    const office = makeOffice();
    const sealed = await open(office, ONE);
    sealed.accept(0, new Uint8Array(100), true);
    const answer = sealed.commit();
    office.pool.at(0).tell({ kind: 'validated', directories: [] });
    const open2 = await open(office, { ...TWO, plugin: 'other' });
    let drained = false;
    const draining = office.operations.drain().then(() => {
      drained = true;
    });
    expect((await faultOf(open2.commit())).code).toBe('DRAINING');
    expect((await faultOf(office.begin(THREE))).code).toBe('DRAINING');
    // Whoever lost the connection and asks again is answered as well.
    const again = office.begin(ONE);
    office.pool.at(1).done();
    await settle();
    expect(drained).toBe(false);
    office.pool.at(0).installed();
    office.pool.at(0).done();
    await draining;
    expect(await answer).toEqual(answerOf());
    expect(await again).toEqual(answerOf());
  });

  it('waits also for a thread that cleans up after a try that was begun again', async () => {
    const office = makeOffice();
    await open(office);
    office.operations.abort('operation-1');
    await open(office);
    let drained = false;
    const draining = office.operations.drain().then(() => {
      drained = true;
    });
    office.pool.at(1).done();
    await settle();
    expect(drained).toBe(false);
    office.pool.at(0).done();
    await draining;
  });

  it('gives up twins that still wait', async () => {
    const office = makeOffice();
    await open(office, ONE);
    const second = office.begin(TWO);
    const draining = office.operations.drain();
    expect((await faultOf(second)).code).toBe('DRAINING');
    office.pool.at().done();
    await draining;
  });
});
