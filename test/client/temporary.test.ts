/** A failure of the system where temporary files are made is a fault that says what to do. */
import { open } from 'node:fs/promises';

import { expect, it } from 'vitest';

import { systemFault } from '../../client/temporary.ts';
import { Fault } from '../../shared/api/fault.ts';

it('a full device is said to be full', async (ctx) => {
  const file = await open('/dev/full', 'w').catch(() => ctx.skip('there is no /dev/full'));
  const error: unknown = await file.write('x').catch((thrown: unknown) => thrown);
  await file.close();
  expect(systemFault(error, 'Writing "a"')).toMatchObject({
    code: 'NO_SPACE',
    message: expect.stringMatching(/^Writing "a" failed: ENOSPC/),
    hint: 'Free some space there, or name another directory for temporary files (TMPDIR)',
  });
});

it('any other failure of the system is one of the place, and what is none stays as it is', () => {
  const failed = Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' });
  expect(systemFault(failed, 'Writing "a"')).toMatchObject({ code: 'INVALID_PARAMS', cause: failed });
  const fault = new Fault('CANCELLED', 'stopped');
  const mistake = new TypeError('x is not a function');
  expect([systemFault(fault, 'a'), systemFault(mistake, 'a')]).toEqual([fault, mistake]);
});
