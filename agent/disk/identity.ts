/** Which process this is, so that another one can later tell whether it still runs. */
import { readFileSync, readlinkSync } from 'node:fs';

import { attempt } from '../../shared/attempt.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { readProcessStat } from './lock-record.ts';

/** The boot of the machine, the pid namespace, the pid and when it began; empty strings where there is no /proc. */
export function processIdentity(): Intent['owner'] {
  return {
    bootId: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? '',
    pidNamespace: attempt(() => readlinkSync('/proc/self/ns/pid')) ?? '',
    pid: process.pid,
    startTime: startTimeOf('self'),
  };
}

/** When a process began, in the kernel's own count; '' where that cannot be said. */
export const startTimeOf = (pid: number | 'self'): string =>
  attempt(() => readProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).startTime) ?? '';
