import { expect, test } from 'vitest';

import { Fault, type Violation, faultCodes, faultDataSchema, toFault } from '../../../shared/api/fault.ts';
import { LIST_MAX } from '../../../shared/truncate.ts';

test.each(faultCodes)('%s has a status, a title and an answer to "again?", and travels unharmed', (code) => {
  const fault = new Fault(code, 'It was "x"', { hint: 'Do y' });
  expect(fault.status).toBeGreaterThanOrEqual(400);
  expect(fault.title).toMatch(/^[A-Z].*[^.]$/);
  const data = faultDataSchema.parse(JSON.parse(JSON.stringify(fault.toData())));
  expect(Fault.from(data).toData()).toEqual(fault.toData());
});

test.each([
  ['INVALID_PARAMS', 400],
  ['UNAUTHENTICATED', 401],
  ['FORBIDDEN', 403],
  ['NOT_FOUND', 404],
  ['HELD', 409],
  ['TOO_LARGE', 413],
  ['DIGEST_MISMATCH', 422],
  ['RUNTIME_EXTERNAL', 422],
  ['LOCKED', 423],
  ['RATE_LIMITED', 429],
  ['CANCELLED', 499],
  ['INTERNAL', 500],
  ['DRAINING', 503],
  ['DEADLINE', 504],
  ['NO_SPACE', 507],
] as const)('%s is answered with %d', (code, status) => {
  expect(new Fault(code, '').status).toBe(status);
});

test('what is not said is not sent, and nothing has been executed', () => {
  expect(new Fault('NOT_FOUND', 'There is no "x"').toData()).toEqual({
    code: 'NOT_FOUND',
    status: 404,
    title: 'There is no such thing here',
    detail: 'There is no "x"',
    retry: 'never',
    executed: 'no',
  });
});

test('violations are cut after 100 and counted, also after they have travelled', () => {
  const violations: Violation[] = Array.from({ length: 250 }, (_, i) => ({
    path: `${i}`,
    rule: 1,
    code: 'X',
    what: '',
  }));
  const fault = Fault.from(new Fault('ARCHIVE_PATH', 'x', { violations }).toData());
  expect(fault.violations).toHaveLength(LIST_MAX);
  expect(fault.violationsTotal).toBe(250);
});

test('the cause stays at home', () => {
  const cause = new Error('secret');
  const fault = new Fault('INTERNAL', 'x', { cause });
  expect(fault.cause).toBe(cause);
  expect(JSON.stringify(fault.toData())).not.toContain('secret');
});

test('a fault stays itself; anything else becomes INTERNAL, and may have happened', () => {
  const fault = new Fault('HELD', 'x');
  expect(toFault(fault, 'Trying')).toBe(fault);
  const cause = new Error('disk on fire');
  expect(toFault(cause, 'Writing')).toMatchObject({
    code: 'INTERNAL',
    message: 'Writing failed: disk on fire',
    executed: 'maybe',
    cause,
  });
  expect(toFault('odd', 'Writing').message).toBe('Writing failed: odd');
});

test('an unknown field of a fault is ignored, an unknown code is not', () => {
  const data = new Fault('HELD', 'x').toData();
  expect(faultDataSchema.parse({ ...data, later: 1 })).toEqual(data);
  expect(faultDataSchema.safeParse({ ...data, code: 'LATER' }).success).toBe(false);
});
