/** Asks a doctor, and reads what it says. */
import { expect } from 'vitest';

import {
  type CheckName,
  type CheckResult,
  type Diagnosis,
  diagnosisSchema,
} from '../../shared/api/doctor.ts';
import { runHere } from './program.ts';

export type Examined = {
  code: number | null;
  diagnosis: Diagnosis;
  /** What one check has found. */
  of: (check: CheckName) => CheckResult[];
  /** The checks that have found something bad, without those that only say that there is no koffi. */
  bad: string[];
};

/** The threads of tests lie where no koffi is found. Tests of these checks run the built program, or say what the system has. */
const OF_KOFFI = new Set(['koffi', 'exchange']);

/** Reads an answer: whatever is bad comes with what follows from it and what to do. */
export function readDiagnosis(json: string, code: number | null): Examined {
  const diagnosis = diagnosisSchema.parse(JSON.parse(json));
  const bad = diagnosis.checks.filter(({ level }) => level === 'warning' || level === 'error');
  for (const { why, fix } of bad) expect([why, fix]).toEqual([expect.any(String), expect.any(String)]);
  expect(code).toBe(diagnosis.checks.some(({ level }) => level === 'error') ? 1 : 0);
  return {
    code,
    diagnosis,
    of: (check) => diagnosis.checks.filter((one) => one.check === check),
    bad: bad
      .filter(({ check, found }) => !(OF_KOFFI.has(check) && found.includes('koffi')))
      .map(({ check, level }) => `${level} ${check}`),
  };
}

/** A token for a command that examines a root, so that only the root can be bad. */
export const SOME_TOKEN = 'some-token-of-more-than-thirty-two-characters';

/** Examines a root in this process, without an agent. */
export async function examineRoot(root: string, env: Record<string, string> = {}): Promise<Examined> {
  const words = ['doctor', '--root', root, '--json'];
  const all = {
    AIRLOCK_TOKEN: SOME_TOKEN,
    AIRLOCK_LISTEN: '127.0.0.1:0',
    AIRLOCK_MAX_UNPACKED: '1M',
    ...env,
  };
  const { stdout, code, stderr } = await runHere(words, all);
  expect(stderr).toBe('');
  return readDiagnosis(stdout, code);
}
