/** Which process this is, so that another one can later tell whether it still runs. */
import { readFileSync, readlinkSync } from 'node:fs';

import type { Intent } from '../../shared/intent.ts';

/** The boot of the machine, the pid namespace, the pid and when it began; empty strings where there is no /proc. */
export function processIdentity(): Intent['owner'] {
  return {
    bootId: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidNamespace: attempt(() => readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    // The command may hold spaces and brackets; the fields after its closing bracket are fixed, and the 20th is it.
    startTime: attempt(
      () =>
        readFileSync('/proc/self/stat', 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')[19] ?? '',
    ),
  };
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
