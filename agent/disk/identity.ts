/** Identifies this process, so that another one can tell later whether it still runs. */
import { readFileSync, readlinkSync } from 'node:fs';

import { attempt } from '../../shared/attempt.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { readProcessStat } from './lock-record.ts';

/** The boot of the machine, the pid namespace, the pid and its start time; empty strings without /proc. */
export function processIdentity(): Intent['owner'] {
  return {
    bootId: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? '',
    pidNamespace: attempt(() => readlinkSync('/proc/self/ns/pid')) ?? '',
    pid: process.pid,
    startTime: startTimeOf('self'),
  };
}

/** The start time of a process, in the kernel's own count; '' if it is not known. */
export const startTimeOf = (pid: number | 'self'): string =>
  attempt(() => readProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).startTime) ?? '';
