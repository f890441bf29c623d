// An agent as a process of its own, and a session with it.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { openSession } from '../dist/client.mjs';
import { sleep } from './measure.mjs';
import { processorMillis, residentBytes, writtenBytes } from './process.mjs';

export const bundleFile = fileURLToPath(new URL('../dist/airlock.mjs', import.meta.url));

const loopFile = new URL('loop.mjs', import.meta.url).href;
/** What a benchmark sends may be larger than what an agent takes by default. */
const LIMITS = ['--max-packed', '4G', '--max-unpacked', '4G', '--max-entries', '200000'];

/**
 * Starts an agent on a root and waits until it listens.
 *
 * @param keep how many versions it keeps. @param loop a file for how long its event loop was blocked.
 */
export async function startAgent(root, { keep = 1, loop } = {}) {
  const token = randomBytes(32).toString('base64url');
  const env = {
    PATH: process.env.PATH,
    AIRLOCK_TOKEN: token,
    AIRLOCK_ROOT: root,
    AIRLOCK_LISTEN: '127.0.0.1:0',
    AIRLOCK_KEEP: String(keep),
    ...(loop === undefined ? {} : { BENCH_LOOP: loop }),
  };
  const watched = loop === undefined ? [] : ['--import', loopFile];
  const begun = performance.now();
  const child = spawn(process.execPath, [...watched, bundleFile, 'agent', ...LIMITS], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await listening(child);
  const ready = performance.now() - begun;
  const url = `ws://127.0.0.1:${port}`;
  return {
    ready,
    url,
    token,
    open: (events = []) => openSession({ url, token, client: 'bench', events }),
    ...figuresOf(child.pid),
    /** Milliseconds (p99) for which its event loop was blocked since it was asked before. */
    blocked: () => blockedSince(child, loop),
    stop: async () => {
      child.removeAllListeners('exit');
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** The port on which an agent listens. */
function listening(child) {
  const lines = createInterface({ input: child.stdout });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The agent ended with code ${code}`)));
    lines.on('line', (line) => {
      const { msg, port } = JSON.parse(line);
      if (msg === 'listening') resolve(port);
    });
  });
}

function figuresOf(pid) {
  return {
    /** Resident memory in bytes. */
    memory: () => residentBytes(pid),
    /** The most resident memory that it ever had, in bytes. */
    peak: () => residentBytes(pid, 'VmHWM'),
    /** Bytes that it has caused to be written to a disk. */
    written: () => writtenBytes(pid),
    /** Milliseconds of processor time that it has used, with all its threads. */
    processor: () => processorMillis(pid),
    /** Resolves when it has used no processor time for 0.6 seconds, or after 20 seconds. */
    quiet: () => untilQuiet(pid),
  };
}

async function untilQuiet(pid) {
  const end = performance.now() + 20_000;
  let used = await processorMillis(pid);
  // Edits settle for a quarter of a second before anybody looks at them.
  for (let still = 0; still < 6 && performance.now() < end;) {
    await sleep(100);
    const now = await processorMillis(pid);
    still = now === used ? still + 1 : 0;
    used = now;
  }
}

async function blockedSince(child, file) {
  await rm(file, { force: true });
  child.kill('SIGUSR2');
  for (;;) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) return JSON.parse(text).p99;
    await sleep(5);
  }
}
