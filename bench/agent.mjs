// An agent as a process of its own, and a session with it.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { openSession } from '../dist/client.mjs';

export const bundleFile = fileURLToPath(new URL('../dist/airlock.mjs', import.meta.url));

const loopFile = new URL('loop.mjs', import.meta.url).href;

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
  const child = spawn(process.execPath, [...watched, bundleFile, 'agent', '--max-unpacked', '1G'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const port = await new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The agent ended with code ${code}`)));
    lines.on('line', (line) => {
      const { msg, port: found } = JSON.parse(line);
      if (msg === 'listening') resolve(found);
    });
  });
  const ready = performance.now() - begun;
  const url = `ws://127.0.0.1:${port}`;
  return {
    ready,
    url,
    token,
    open: (events = []) => openSession({ url, token, client: 'bench', events }),
    /** Resident memory in bytes. */
    memory: async () => {
      const status = await readFile(path.join('/proc', String(child.pid), 'status'), 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
    },
    /** Bytes that it has caused to be written to a disk. */
    written: async () => {
      const io = await readFile(path.join('/proc', String(child.pid), 'io'), 'utf8');
      return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
    },
    stop: async () => {
      child.removeAllListeners('exit');
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
