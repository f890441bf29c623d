/** A watch that is opened again and again while directories are made: chance decides what comes between. */
import { expect, it } from 'vitest';

import { lostWhileOpening } from '../_kit/early-directories.ts';

it('directories that come while their own is being opened are not forgotten', async () => {
  for (let round = 0; round < 50; round += 1) expect(await lostWhileOpening()).toEqual([]);
});
