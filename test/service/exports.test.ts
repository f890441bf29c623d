/** Exports with threads of which the test plays every word. */
import { describe, expect, it } from 'vitest';

import { openExport, type Source } from '../../agent/service/exports.ts';
import { FairPool } from '../../agent/worker/fair-pool.ts';
import { deferred } from '../../agent/worker/deferred.ts';
import { Fault } from '../../shared/api/fault.ts';
import { FakeClock } from '../_kit/clock.ts';
import { type ScriptedEngine, ScriptedPool, settle } from '../_kit/engines.ts';
import { faultOf } from '../_kit/install-room.ts';

const ANSWER = { plugin: 'lint', pluginVersion: '1.0.0', installId: null, tree: 'x', files: 1, bytes: 3 };

function makePools() {
  const pool = new ScriptedPool();
  const clock = new FakeClock();
  return { pool, clock, fair: new FairPool(pool, clock) };
}

async function begin({ pool, clock, fair } = makePools()) {
  const complaints: Fault[] = [];
  const complain = (fault: Fault): void => void complaints.push(fault);
  const opening = openExport({ pool: fair, complain }, { plugin: 'lint' });
  opening.catch(() => undefined);
  await settle();
  const [engine] = pool.engines as [ScriptedEngine];
  const opened = async (): Promise<Source> => {
    engine.tell({ kind: 'answer', answer: ANSWER });
    return (await opening).lines as Source;
  };
  return { pool, clock, opening, engine, opened, complaints };
}

/** An export that has a thread, while another one waits for it. */
async function contended() {
  const pools = makePools();
  const first = await begin(pools);
  const source = await first.opened();
  const gate = deferred<void>();
  pools.pool.gate = gate.promise;
  const waiting = begin(pools);
  await settle();
  const over = async (): Promise<void> => {
    gate.resolve();
    await waiting;
  };
  return { clock: pools.clock, engine: first.engine, source, over };
}

describe('an export', () => {
  it('asks its thread for a piece when its reader asks, and not before', async () => {
    const { engine, opening, opened } = await begin();
    expect(engine.heard).toBe('export');
    const source = await opened();
    expect((await opening).answer).toEqual(ANSWER);
    expect(engine.heard).toBe('export');
    const pulled = source.pull();
    expect(engine.heard).toBe('export pull');
    engine.tell({ kind: 'piece', bytes: new Uint8Array(Buffer.from('abc')), isLast: false });
    expect(await pulled).toEqual({ bytes: new Uint8Array(Buffer.from('abc')), isLast: false });
    const last = source.pull();
    engine.tell({ kind: 'piece', bytes: new Uint8Array(Buffer.from('d')), isLast: true }, { kind: 'done' });
    expect((await last).isLast).toBe(true);
    source.cancel();
    expect(engine.heard).toBe('export pull pull');
  });

  it('that is refused in its thread is refused with that, and one that fails later fails its reader', async () => {
    const first = await begin();
    first.engine.fail('NOT_FOUND');
    expect(await faultOf(() => first.opening)).toMatchObject({ code: 'NOT_FOUND' });
    const second = await begin();
    const source = await second.opened();
    const pulled = source.pull();
    second.engine.fail('DIGEST_MISMATCH');
    expect(await faultOf(() => pulled)).toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(await faultOf(() => source.pull())).toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  it('whose thread crashes while nobody asks tells it at once', async () => {
    const { engine, opened } = await begin();
    const source = await opened();
    engine.crash();
    expect(await source.lost).toMatchObject({ code: 'INTERNAL' });
  });

  it('is ended in its thread when it is cancelled, once', async () => {
    const { engine, opened } = await begin();
    const source = await opened();
    source.cancel();
    source.cancel();
    expect(engine.heard).toBe('export abort');
  });

  it('gives way to one that waits for a thread, if its reader takes too little', async () => {
    const { clock, engine, source, over } = await contended();
    // The first look only begins to count.
    clock.advance(5000);
    clock.advance(5000);
    expect(await source.lost).toMatchObject({ code: 'DEADLINE' });
    expect(engine.heard).toBe('export abort');
    await over();
  });

  it('keeps its thread while its reader takes enough, and while the disk is slow', async () => {
    const { clock, engine, source, over } = await contended();
    const pulled = source.pull();
    // The first look only begins to count. At the second one nothing has come from the disk yet.
    clock.advance(5000);
    clock.advance(5000);
    engine.tell({ kind: 'piece', bytes: new Uint8Array(70_000), isLast: false });
    await pulled;
    clock.advance(5000);
    expect(engine.heard).toBe('export pull');
    // Then it takes nothing.
    clock.advance(5000);
    expect(engine.heard).toBe('export pull abort');
    await over();
  });
});
