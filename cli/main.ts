/** The program: a command line, or, started as a thread by its own agent, an engine. */
import { isMainThread, workerData } from 'node:worker_threads';

import manifest from '../package.json' with { type: 'json' };

const self = new URL(import.meta.url);

if (isMainThread) {
  const { run } = await import('./run.ts');
  const interrupted = new AbortController();
  const words = process.argv.slice(2);
  // An agent has its own way to end. A second Ctrl-C ends whatever does not listen to the first.
  if (words[0] !== 'agent') {
    process.once('SIGINT', () => interrupted.abort());
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') {
      process.stderr.write(`The result could not be written: ${error.message}\n`);
      process.exit(1);
    }
    // A reader that has seen enough (`| head`) is no failure, and makes none a success; but what has no end ends with it.
    if (words[0] === 'watch') process.exit(0);
  });
  // What went wrong says the exit code, too.
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
