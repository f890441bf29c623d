/** One archive staged into one slot, with a look at everything around it. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { InstallPolicy } from '../../agent/store/context.ts';
import { type LinkPolicy, type Staged, Stager } from '../../agent/change/stage.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type Room, makeRoom, photograph } from './install-room.ts';

export type Outcome = {
  room: Room;
  slot: string;
  /** Undefined if the archive was refused. */
  staged: Staged | undefined;
  error: unknown;
  /** Everything in the slot. */
  inside: Record<string, string>;
  /** Whether anything around the slot is other than before. */
  escaped: boolean;
};

type How = { links?: LinkPolicy; policy?: Partial<InstallPolicy>; pieceBytes?: number };

/** Stages the plain bytes of a tar on the real disk. */
export function stage(
  bytes: Buffer,
  { links = 'copy', policy = {}, pieceBytes = 1 << 17 }: How = {},
): Outcome {
  const room = makeRoom(policy);
  const slot = room.layout.slot('lint', '20260508T141530123Z-9f86d081');
  mkdirSync(slot);
  const dependencies = (): string =>
    JSON.stringify(
      Object.entries(photograph(nodeDisk, dirname(room.layout.root))).filter(
        ([path]) => !`${dirname(room.layout.root)}${path}`.startsWith(slot),
      ),
    );
  const before = dependencies();
  const stager = new Stager(room.context, slot, links, true);
  let staged: Staged | undefined;
  let error: unknown;
  try {
    stager.begin();
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      stager.write(bytes.subarray(at, at + pieceBytes));
    }
    staged = stager.end();
  } catch (thrown) {
    error = thrown;
    stager.stop();
  }
  return {
    room,
    slot,
    staged,
    error,
    inside: photograph(nodeDisk, slot),
    escaped: dependencies() !== before,
  };
}

/** What was staged; throws what it was refused with. */
export function accepted(bytes: Buffer, how: How = {}): Outcome & { staged: Staged } {
  const outcome = stage(bytes, how);
  if (outcome.staged === undefined) {
    throw outcome.error;
  }
  return { ...outcome, staged: outcome.staged };
}

/** The fault that it was refused with, and its violations as `path rule`. */
export function refused(bytes: Buffer, how: How = {}): { fault: Fault; rules: string[]; outcome: Outcome } {
  const outcome = stage(bytes, how);
  if (!(outcome.error instanceof Fault)) {
    throw new Error(`It was not refused with a fault but: ${String(outcome.error)}`, {
      cause: outcome.error,
    });
  }
  const rules = outcome.error.violations.map(({ path, rule }) => `${path} ${rule}`);
  return { fault: outcome.error, rules, outcome };
}
