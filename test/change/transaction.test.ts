import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { Transaction } from '../../agent/change/transaction.ts';
import { Fault } from '../../shared/api/fault.ts';
import { intentSchema } from '../../shared/format/intent.ts';
import { uninstalledSchema } from '../../shared/api/plugin.ts';
import { room as realRoom, upToAnswer, v } from '../_kit/broken-promises.ts';
import { type Room, deliver, faultOf, makeRoom, namesIn, plainDisk, rollBack } from '../_kit/install-room.ts';

/** A change that has a slot and an intent, and what is done and taken back in it, in order. */
function begun(room: Room): {
  change: Transaction<object>;
  seen: string[];
  step: (name: 'stage' | 'seal', failure?: { do?: Error; undo?: Fault }) => void;
} {
  const seen: string[] = [];
  const asked = {
    doing: 'Trying "lint"',
    params: { plugin: 'lint', operationId: 'operation-t' },
    question: 'q',
    answer: uninstalledSchema,
  };
  const change: Transaction<object> = Transaction.begin(
    room.context,
    asked,
    { op: 'install', from: null },
    (name) => seen.push(`${name} ended`),
  );
  const step = (name: 'stage' | 'seal', failure: { do?: Error; undo?: Fault } = {}): void =>
    change.step({
      name,
      do: () => {
        seen.push(name);
        if (failure.do !== undefined) throw failure.do;
      },
      undo: (because) => {
        seen.push(`${name} back, for ${because.message}`);
        if (failure.undo !== undefined) throw failure.undo;
      },
    });
  return { change, seen, step };
}

it('takes back in reverse what was begun, also the step that failed, and then the slot', async () => {
  const room = makeRoom();
  const { change, seen, step } = begun(room);
  const { stamp } = change.journal.intent;
  expect(namesIn(room, room.layout.staging)).toEqual([`lint.${stamp}`, `lint.${stamp}.json`]);
  const fault = await faultOf(() =>
    change.attempt(() => {
      step('stage');
      step('seal', { do: new Error('no') });
    }),
  );
  expect([fault.code, fault.message]).toEqual(['INTERNAL', 'Trying "lint" failed: no']);
  expect(seen).toEqual([
    'stage',
    'stage ended',
    'seal',
    `seal back, for ${fault.message}`,
    `stage back, for ${fault.message}`,
  ]);
  expect(namesIn(room, room.layout.staging)).toEqual([]);
  // Asked again it does nothing.
  expect(change.takeBack(fault)).toBe(fault);
  expect(seen).toHaveLength(5);
});

it('leaves all that came before as it is, where a step cannot be taken back, and answers with that', async () => {
  const room = makeRoom();
  const { change, seen, step } = begun(room);
  const worse = new Fault('ROLLBACK_FAILED', 'worse');
  const fault = await faultOf(() =>
    change.attempt(() => {
      step('stage');
      step('seal', { undo: worse });
      throw new Fault('SWAP_FAILED', 'bad');
    }),
  );
  expect(fault).toBe(worse);
  expect(seen.slice(4)).toEqual(['seal back, for bad']);
  expect(namesIn(room, room.layout.staging)).toHaveLength(2);
});

it('says in the intent that it goes back before the first move is taken back', async () => {
  const goals: string[] = [];
  let room = makeRoom();
  const { live, staging } = room.layout;
  const rename = (from: string, to: string): void => {
    if (to === live('lint') && from.startsWith(staging)) {
      throw Object.assign(new Error('EIO: rename'), { code: 'EIO' });
    }
    if (to === live('lint')) {
      const name = namesIn(room, staging).find((entry) => /^lint\..*\.json$/.test(entry)) ?? '';
      goals.push(intentSchema.parse(JSON.parse(readFileSync(join(staging, name), 'utf8'))).goal);
    }
    plainDisk.rename(from, to);
  };
  await deliver(room, v(1));
  await deliver(room, v(2));
  room = { ...room, context: { ...room.context, disk: { ...plainDisk, rename } } };
  expect((await faultOf(() => deliver(room, v(3)))).code).toBe('SWAP_FAILED');
  expect((await faultOf(() => rollBack(room))).code).toBe('SWAP_FAILED');
  expect(goals).toEqual(['back', 'back']);
  expect(namesIn(room, staging)).toEqual([]);
});

it('takes nothing back once it stands: an install that is given up after its answer keeps the version before', async () => {
  const room = realRoom();
  await deliver(room, v(1));
  const install = await upToAnswer(room, v(2));
  install.abort();
  expect(readFileSync(join(room.layout.live('lint'), 'rules/a.md'), 'utf8')).toBe('version 2');
  // What the collecting would have done is recovery's to do.
  expect(namesIn(room, room.layout.staging)).toHaveLength(2);
});
