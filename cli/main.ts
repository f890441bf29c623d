/** The program: the command line, or an engine if an agent starts it as a thread. */
import { isMainThread, workerData } from 'node:worker_threads';

import manifest from '../package.json' with { type: 'json' };

const self = new URL(import.meta.url);

/** Commands that make temporary files: told to end, they remove them first. */
const CLEANING = new Set(['classify', 'export', 'pack', 'push', 'validate']);

if (isMainThread) {
  const { run } = await import('./run.ts');
  const interrupted = new AbortController();
  const words = process.argv.slice(2);
  // The agent handles signals itself. In other commands a second Ctrl-C ends what does not react to the first.
  if (words[0] !== 'agent') {
    const signals = CLEANING.has(words[0] ?? '')
      ? (['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      : (['SIGINT'] as const);
    for (const signal of signals) process.once(signal, () => interrupted.abort());
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') {
      process.stderr.write(`The result could not be written: ${error.message}\n`);
      process.exit(1);
    }
    // A reader that stops early (`| head`) does not change the exit code. A command without an end ends then.
    if (words[0] === 'watch') process.exit(0);
  });
  // The exit code reports failures too.
  process.stderr.on('error', () => undefined);
  process.exitCode = await run({
    words,
    env: process.env,
    out: process.stdout,
    error: process.stderr,
    version: manifest.version,
    self,
    signal: interrupted.signal,
  });
} else {
  const { isEngine, runThread } = await import('../agent/worker/thread.ts');
  if (isEngine(workerData)) {
    runThread();
  }
}
