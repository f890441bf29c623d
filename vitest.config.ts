import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Killed processes, power cuts and container images take minutes: they have their own commands.
    exclude: [...configDefaults.exclude, 'test/crash/**', 'test/image/**', 'test/fuzz/**'],
    globalSetup: ['./test/_kit/build-worker.ts'],
    pool: 'forks',
    // A worker loads the modules once for all its files. So a file puts back what it replaces in them.
    isolate: false,
    // Many tests wait for real time, sockets and processes: more of them than there are cores keep those busy.
    maxWorkers: 4,
    // What takes seconds takes half a minute on a machine that is busy with other things, too.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ['default', './test/_kit/closing-line.ts'],
  },
});
