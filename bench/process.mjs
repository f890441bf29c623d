// What Linux tells about a process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

/** Linux counts processor time in ticks of this length. */
const TICK_MILLIS = 10;

/** Resident memory in bytes now (`VmRSS`), or the most that there ever was (`VmHWM`). */
export async function residentBytes(pid, field = 'VmRSS') {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
}

/** Bytes that a process has caused to be written to a disk. */
export async function writtenBytes(pid) {
  const io = await readFile(`/proc/${pid}/io`, 'utf8');
  return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0);
}

/** Milliseconds of processor time of all its threads, also of those that have ended. */
export async function processorMillis(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name of the process may hold spaces, so count from the parenthesis behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MILLIS;
}

/** Starts a bare Node process: how long until it says something, and its memory then. */
export async function bareNode() {
  const begun = performance.now();
  const child = spawn(process.execPath, ['-e', 'console.log(1);setInterval(()=>{},1e6)'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const ready = performance.now() - begun;
  const memory = await residentBytes(child.pid);
  const ended = once(child, 'exit');
  child.kill();
  await ended;
  return { ready, memory };
}
