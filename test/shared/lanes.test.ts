import { describe, expect, it } from 'vitest';

import { deferred } from '../../agent/worker/deferred.ts';
import { Lanes } from '../../shared/lanes.ts';
import { settle } from '../_kit/engines.ts';

describe('the lanes', () => {
  it('run the tasks of one plugin one after another, in the order in which they asked', async () => {
    const lanes = new Lanes();
    const log: string[] = [];
    const gates = [deferred<void>(), deferred<void>(), deferred<void>()];
    const all = gates.map((gate, i) =>
      lanes.run('lint', async () => {
        log.push(`begin ${i}`);
        await gate.promise;
        log.push(`end ${i}`);
      }),
    );
    // Opened in reverse: the order is that of the asking.
    for (const gate of gates.toReversed()) {
      await settle();
      gate.resolve();
    }
    await Promise.all(all);
    expect(log).toEqual(['begin 0', 'end 0', 'begin 1', 'end 1', 'begin 2', 'end 2']);
  });

  it('say how many tasks wait for an earlier one', async () => {
    const lanes = new Lanes();
    const gate = deferred<void>();
    const all = ['lint', 'lint', 'lint', 'other'].map((plugin) => lanes.run(plugin, () => gate.promise));
    await settle();
    expect(lanes.waiting).toBe(2);
    gate.resolve();
    await Promise.all(all);
    expect(lanes.waiting).toBe(0);
    await expect(lanes.run('lint', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(lanes.waiting).toBe(0);
  });

  it('run the tasks of different plugins side by side', async () => {
    const lanes = new Lanes();
    const never = deferred<void>();
    void lanes.run('a', () => never.promise);
    await expect(lanes.run('b', () => Promise.resolve('done'))).resolves.toBe('done');
  });

  it('are free again after a task that failed, which still tells its own caller', async () => {
    const lanes = new Lanes();
    const failing = lanes.run('lint', () => Promise.reject(new Error('no')));
    const next = lanes.run('lint', () => Promise.resolve(7));
    await expect(failing).rejects.toThrow('no');
    await expect(next).resolves.toBe(7);
  });

  it('are free again after a task that throws at once', async () => {
    const lanes = new Lanes();
    const failing = lanes.run('lint', () => {
      throw new Error('at once');
    });
    await expect(failing).rejects.toThrow('at once');
    await expect(lanes.run('lint', () => Promise.resolve(1))).resolves.toBe(1);
  });

  it('keep the order for who joins while another leaves', async () => {
    const lanes = new Lanes();
    const log: number[] = [];
    const first = lanes.run('lint', () => Promise.resolve());
    const second = lanes.run('lint', async () => {
      await settle();
      log.push(2);
    });
    await first;
    const third = lanes.run('lint', async () => {
      log.push(3);
      return Promise.resolve();
    });
    await Promise.all([second, third]);
    expect(log).toEqual([2, 3]);
  });
});
