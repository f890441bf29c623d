import { describe, expect, it } from 'vitest';

import { stateOf } from '../../agent/store/records.ts';
import { FaultyDisk, failOnce } from '../_kit/faulty-disk.ts';
import { pendingOf, put, version } from '../_kit/hot-and-cold.ts';
import { makeRoom, through } from '../_kit/install-room.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

const CODES = ['EIO', 'ENOSPC', 'EACCES'];

describe('a suppressed cold change of which any one call of the disk fails', () => {
  it('is pending if it was made, and not if it was not; a change of skills is cold or hot accordingly', async () => {
    const made = { yes: 0, no: 0 };
    for (let n = 1; ; n += 1) {
      const room = makeRoom({}, createMemoryDisk(), '/plugins');
      await put(room, version('1', '1'));
      const faulty = new FaultyDisk(room.context.disk);
      faulty.arm(failOnce(n, CODES[n % CODES.length] ?? 'EIO'));
      const answer = await put(through(room, faulty.disk), version('2', '1'), false).catch(() => undefined);
      const [failed] = faulty.failed;
      const where = `call ${n}, ${failed?.kind ?? 'none'} ${failed?.path ?? ''}`;
      expect([where, pendingOf(room)?.installId]).toEqual([where, answer?.installId]);
      expect([where, faulty.leaked]).toEqual([where, []]);
      const next = await put(room, version(answer === undefined ? '1' : '2', '2'));
      const kind = answer === undefined ? 'skill-content-only' : 'cold';
      expect([where, next.reload.kind]).toEqual([where, kind]);
      expect(stateOf(room.context, 'lint')).toBeDefined();
      made[answer === undefined ? 'no' : 'yes'] += 1;
      if (failed === undefined) break;
    }
    expect(made.no).toBeGreaterThan(50);
    expect(made.yes).toBeGreaterThan(10);
  });
});
