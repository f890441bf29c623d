import { defineConfig, mergeConfig } from 'vitest/config';

import base from './vitest.config.ts';

/**
 * The heavy suites: every call fails, processes are killed. They are busy, so no more at a time than there are cores; what takes
 * 40 s on an idle machine may take several times as long.
 */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({
    test: { include: ['test/crash/**/*.test.ts'], testTimeout: 300_000, maxWorkers: 2, isolate: true },
  }),
);
