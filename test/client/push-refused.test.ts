import { expect, it } from 'vitest';

import { push } from '../../client/push.ts';
import { Fault } from '../../shared/api/fault.ts';

it('does not try again where something answers that is no agent', async () => {
  let opened = 0;
  const open = async (): Promise<never> => {
    opened += 1;
    throw new Fault('UNREACHABLE', 'What answers there is not an Airlock agent', { retry: 'never' });
  };
  const bundle = { plugin: 'lint', file: '/nowhere', size: 1, sha256: 'a'.repeat(64) };
  const pushed = push(open, bundle, { sleep: async () => {} });
  await expect(pushed).rejects.toMatchObject({ code: 'UNREACHABLE', retry: 'never' });
  expect(opened).toBe(1);
});
