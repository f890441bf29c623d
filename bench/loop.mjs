// Loaded into an agent: tells at each SIGUSR2 for how long its event loop was blocked since the one before.
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const file = process.env.BENCH_LOOP;
  // A delay that was seen counts the wait between two looks, which is one millisecond.
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on('SIGUSR2', () => {
    writeFileSync(`${file}.new`, JSON.stringify({ p99: delay.percentile(99) / 1e6 }));
    renameSync(`${file}.new`, file);
    delay.reset();
  });
}
