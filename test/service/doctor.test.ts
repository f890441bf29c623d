/** The doctor's patience, and what it does with checks that fail. */
import { describe, expect, it } from 'vitest';

import { type DoctorOptions, openDoctor } from '../../agent/service/doctor.ts';
import { type CheckFound, type Diagnosis, checkNames, isRootCheck, ok } from '../../shared/api/doctor.ts';
import { FakeClock } from '../_kit/clock.ts';
import { until } from '../_kit/until.ts';

const never = (): Promise<never> => new Promise(() => undefined);
const fine = (): Promise<CheckFound[]> => Promise.resolve([ok('It is fine')]);

function openWith(options: Partial<DoctorOptions>): { clock: FakeClock; ask: () => Promise<Diagnosis> } {
  const clock = new FakeClock();
  const ask = openDoctor({
    root: '/plugins',
    agent: () => undefined,
    settings: [],
    own: {},
    ask: fine,
    busy: () => Promise.resolve([]),
    clock,
    ...options,
  });
  return { clock, ask };
}

const levelsOf = ({ checks }: Diagnosis): Record<string, string> =>
  Object.fromEntries(checks.map(({ check, level, found }) => [check, `${level}: ${found}`]));

/** Lets time pass until the answer is there. */
async function answered({ clock, ask }: ReturnType<typeof openWith>): Promise<Diagnosis> {
  const answer = ask();
  let isOver = false;
  void answer.finally(() => (isOver = true));
  await until(() => {
    clock.advance(1000);
    expect(isOver).toBe(true);
  });
  return answer;
}

describe('a doctor', () => {
  it('asks every check of the root, in order, one at a time', async () => {
    const asked: string[] = [];
    const { ask } = openWith({
      ask: (check) => {
        asked.push(check);
        return fine();
      },
    });
    const diagnosis = await ask();
    expect(asked).toEqual(checkNames.filter(isRootCheck));
    expect(diagnosis).toMatchObject({ root: '/plugins', level: 'ok' });
  });

  it('waits for no check longer than five seconds, and for two of a disk that hangs', async () => {
    const asked: string[] = [];
    const scene = openWith({
      ask: (check) => {
        asked.push(check);
        return check === 'node' || check === 'koffi' ? fine() : never();
      },
      own: { token: fine, tls: never },
    });
    const diagnosis = await answered(scene);
    const levels = levelsOf(diagnosis);
    expect(asked).toEqual(['node', 'koffi', 'root', 'owner']);
    expect(levels).toMatchObject({
      node: 'ok: It is fine',
      root: 'error: The check "root" did not answer within 5 s',
      owner: 'error: The check "owner" did not answer within 5 s',
      mounts: 'error: Not checked, because the checks before it did not answer',
      leftovers: 'error: Not checked, because the checks before it did not answer',
      token: 'ok: It is fine',
      tls: 'error: The check "tls" did not answer within 5 s',
    });
    expect(diagnosis.level).toBe('error');
    expect(scene.clock.running).toBe(0);
  });

  it('goes on after one check that hangs, and does not wait for ever for who works on plugins', async () => {
    const scene = openWith({ busy: never, ask: (check) => (check === 'space' ? never() : fine()) });
    const levels = levelsOf(await answered(scene));
    expect(levels['space']).toMatch(/^error: The check "space" did not answer/);
    expect(levels['clock']).toBe('ok: It is fine');
    expect(levels['leftovers']).toMatch(/^error: The check "leftovers" did not answer/);
  });

  it('asks nothing more of a root that is not there', async () => {
    const gone: CheckFound = { level: 'error', found: 'It is not there', why: 'So', fix: 'Make it' };
    const { ask } = openWith({
      ask: (check) => (check === 'root' ? Promise.resolve([gone]) : fine()),
      own: { token: fine },
    });
    expect(levelsOf(await ask())).toEqual({
      node: 'ok: It is fine',
      koffi: 'ok: It is fine',
      root: 'error: It is not there',
      token: 'ok: It is fine',
    });
  });

  it('takes a check that fails for a finding', async () => {
    const { ask } = openWith({
      ask: (check) => (check === 'space' ? Promise.reject(new Error('The thread is gone')) : fine()),
    });
    const { checks } = await ask();
    expect(checks.find(({ check }) => check === 'space')).toMatchObject({
      level: 'error',
      found: expect.stringContaining('The thread is gone'),
      fix: expect.stringContaining('log'),
    });
  });

  it('gives one answer to all who ask meanwhile, and a fresh one afterwards', async () => {
    let asked = 0;
    const { ask } = openWith({
      ask: (check) => {
        asked += check === 'root' ? 1 : 0;
        return fine();
      },
    });
    const [one, other] = await Promise.all([ask(), ask()]);
    expect(one).toBe(other);
    expect(asked).toBe(1);
    await ask();
    expect(asked).toBe(2);
  });
});
