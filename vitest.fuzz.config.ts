import { defineConfig, mergeConfig } from 'vitest/config';

import base from './vitest.config.ts';

/** Altered input, for as long as is asked; one kind after another. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({
    test: {
      include: ['test/fuzz/**/*.test.ts'],
      testTimeout: 24 * 60 * 60 * 1000,
      fileParallelism: false,
      isolate: true,
    },
  }),
);
