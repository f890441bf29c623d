/** Which failures get a line in the history: enough to see them, and never so many that they fill the disk. */
import { expect, it } from 'vitest';

import { FailureNotes } from '../../agent/service/failure-notes.ts';
import type { FailureContent } from '../../agent/change/note-history.ts';
import type { WorkerClient } from '../../agent/worker/client.ts';
import { Fault, type FaultCode } from '../../shared/api/fault.ts';
import { Lanes } from '../../shared/lanes.ts';
import { FakeClock } from '../_kit/clock.ts';

const HOUR = 60 * 60 * 1000;

function makeNotes() {
  const noted: FailureContent[] = [];
  const complaints: Fault[] = [];
  const held: string[] = [];
  const clock = new FakeClock();
  let refusal: Fault | undefined;
  const notes = new FailureNotes({
    worker: {
      call: (async (_: string, content: FailureContent) => {
        expect(held).toEqual([content.plugin]);
        noted.push(content);
      }) as unknown as WorkerClient['call'],
    },
    pluginLocks: {
      hold: (plugin) => {
        if (refusal !== undefined) return Promise.reject(refusal);
        held.push(plugin);
        return Promise.resolve(async () => void held.splice(held.indexOf(plugin), 1));
      },
    },
    lanes: new Lanes(),
    clock,
    complain: (fault) => complaints.push(fault),
  });
  /** @returns the lines, in short. */
  const fail = async (...codes: FaultCode[]): Promise<string[]> => {
    const before = noted.length;
    for (const code of codes) {
      const fault = new Fault(code, 'By the test');
      notes.note({ plugin: 'lint', op: 'install', operationId: 'operation-1', by: 'ci', fault });
      await notes.drain();
    }
    return noted.slice(before).map(({ code, unnoted = 0 }) => `${code} ${unnoted}`);
  };
  return { notes, noted, complaints, held, clock, fail, refuse: (fault: Fault) => void (refusal = fault) };
}

it('the first failure has a line, the same again has none, and the next other one counts it', async () => {
  const { fail, held } = makeNotes();
  expect(await fail('HELD', 'HELD', 'HELD', 'NO_SPACE', 'HELD')).toEqual(['HELD 0', 'NO_SPACE 2', 'HELD 0']);
  expect(held).toEqual([]);
});

it('after a change that was made, or an hour, the same failure has a line again', async () => {
  const { fail, notes, clock } = makeNotes();
  expect(await fail('HELD', 'HELD')).toEqual(['HELD 0']);
  notes.changed('lint');
  expect(await fail('HELD', 'HELD')).toEqual(['HELD 1']);
  clock.advance(HOUR);
  expect(await fail('HELD')).toEqual(['HELD 1']);
});

it('failures that differ have few lines an hour', async () => {
  const { fail, clock } = makeNotes();
  const many = Array.from({ length: 100 }, (_, i): FaultCode => (i % 2 === 0 ? 'HELD' : 'NO_SPACE'));
  expect(await fail(...many)).toHaveLength(20);
  clock.advance(HOUR);
  expect(await fail('HELD')).toEqual(['HELD 80']);
});

it('what nobody could write down is not tried, and what cannot be written is said', async () => {
  const { fail, complaints, refuse } = makeNotes();
  expect(await fail('LOCKED', 'READ_ONLY', 'INVALID_PARAMS')).toEqual([]);
  expect(complaints).toEqual([]);
  refuse(new Fault('NO_SPACE', 'By the test'));
  expect(await fail('HELD')).toEqual([]);
  expect(complaints).toMatchObject([{ code: 'NO_SPACE' }]);
});
