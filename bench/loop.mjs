// Loaded into an agent: writes down, as it ends, for how long its event loop was blocked.
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  // A delay that was seen counts the wait between two looks, which is one millisecond.
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on('exit', () => {
    writeFileSync(process.env.BENCH_LOOP, JSON.stringify({ p99: delay.percentile(99) / 1e6 }));
  });
}
