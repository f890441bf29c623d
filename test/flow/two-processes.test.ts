/**
 * Several processes on one root: they wait for each other, and one that is killed keeps nobody back. How the two kinds of
 * locks differ is in test/disk/; with records, all that is said here is in test/crash/two-processes.test.ts.
 */
import { describe, it } from 'vitest';

import { TWO_PROCESSES } from '../_kit/two-processes.ts';

const all = Object.entries(TWO_PROCESSES);

describe('an agent and a boot-install on one root (flock)', () => {
  it.for(all)('%s', ([, check], ctx) => check(ctx, 'flock'));
});

describe('an agent and a boot-install on one root (record)', () => {
  it.for(all.slice(0, 1))('%s', ([, check], ctx) => check(ctx, 'record'));
});
