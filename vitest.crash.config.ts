import { defineConfig, mergeConfig } from 'vitest/config';

import base from './vitest.config.ts';

/**
 * The heavy suites: every call fails, processes are killed. They wait for a third of their time, so three files at a time keep two
 * cores busy. What takes 40 s on an idle machine may take several times as long.
 */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({
    test: { include: ['test/crash/**/*.test.ts'], testTimeout: 900_000, maxWorkers: 3, isolate: true },
  }),
);
