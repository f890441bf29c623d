/** An agent and a boot-install on one root, where there is no flock and records say who holds a lock. */
import { describe, it } from 'vitest';

import { TWO_PROCESSES } from '../_kit/two-processes.ts';

describe('an agent and a boot-install on one root (record)', () => {
  it.for(Object.entries(TWO_PROCESSES))('%s', ([, check], ctx) => check(ctx, 'record'));
});
