/**
 * Runs the owner's probe command on a staged tree, and believes its exit code alone. The command has a process group of its
 * own. The group is killed when the command ends, when it takes too long, and when this process is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { Fault } from '../../shared/api/fault.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { compareTrees, differenceText, type FileEntry } from '../../shared/format/tree.ts';
import type { ProbeCommand, StoreContext } from '../store/context.ts';
import { hashTree } from '../store/tree.ts';

/** The end of the output goes into the refusal, up to so many characters. */
const SAID_MAX = 1000;

/** The output ends with the group, but for a process that has left the group and keeps it open. */
const OUTPUT_MILLIS = 1000;

/**
 * A guard in the group waits until descriptor 3 is closed, which happens also when this process is killed, and then kills
 * the group. While it lives, no other group can have the same id.
 */
const GUARDED = '{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & exec 3<&-; exec /bin/sh -c "$1"';

/**
 * Without the guard. Process 1 of a container would have to wait for each guard, or it stays as a zombie; and nothing
 * outlives process 1.
 */
const ALONE = 'exec 3<&-; exec /bin/sh -c "$1"';

type Ending =
  | { how: 'code'; code: number }
  | { how: 'signal'; signal: string }
  | { how: 'error'; why: string };

/** A tree to test. */
type Probed = {
  plugin: string;
  /** Its directory: a slot, or what is live and waits for a full marker. */
  slot: string;
  /** What was validated. The tree must still be the same afterwards. */
  files: readonly FileEntry[];
  /** Whether it has an empty marker; absent: it has none. */
  isTouched?: boolean;
};

/**
 * Tests a tree.
 *
 * @param signal kills the command.
 * @throws Fault PROBE_FAILED, or CANCELLED by the signal.
 */
export async function probeStaged(
  context: StoreContext,
  probe: ProbeCommand,
  { plugin, slot, files, isTouched = false }: Probed,
  signal: AbortSignal,
): Promise<void> {
  refuseAborted(plugin, signal);
  const { ending, said, isLate } = await run(probe, plugin, slot, signal);
  refuseAborted(plugin, signal);
  const why = isLate ? `did not end within ${probe.timeout / 1000} s` : whyFailed(ending);
  if (why !== undefined) {
    const output = said.trim() === '' ? '' : `. It said: ${said.trim()}`;
    throw failed(`The probe command ${why}${output}`, 'Correct what it finds, and try again');
  }
  const change = changeOf(context, slot, files, isTouched);
  if (change !== undefined) {
    const hint = 'The command must only read: let it write elsewhere, such as to a temporary directory';
    throw failed(`The probe command has changed the tree: ${change}`, hint);
  }
}

function refuseAborted(plugin: string, { aborted }: AbortSignal): void {
  if (aborted) {
    throw new Fault('CANCELLED', `The probe command for "${plugin}" was stopped`);
  }
}

const failed = (detail: string, hint: string): Fault => new Fault('PROBE_FAILED', detail, { hint });

function whyFailed(ending: Ending): string | undefined {
  switch (ending.how) {
    case 'code':
      return ending.code === 0 ? undefined : `ended with exit code ${ending.code}`;
    case 'signal':
      return `was killed by ${ending.signal}`;
    case 'error':
      return `could not be started: ${ending.why}`;
    default:
      return ending satisfies never;
  }
}

async function run(
  { command, timeout, env }: ProbeCommand,
  plugin: string,
  slot: string,
  signal: AbortSignal,
): Promise<{ ending: Ending; said: string; isLate: boolean }> {
  const child = begin(command, slot, {
    ...env,
    PLUGIN_NAME: plugin,
    // Python would leave its caches in the tree.
    PYTHONDONTWRITEBYTECODE: '1',
  });
  if (child instanceof Error) {
    return { ending: { how: 'error', why: child.message }, said: '', isLate: false };
  }
  const ended = endOf(child);
  let said = '';
  let isLate = false;
  const outputs = outputsOf(child);
  for (const stream of outputs) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_MAX);
    });
  }
  const kill = (): void => killGroup(child);
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, timeout);
  signal.addEventListener('abort', kill, { once: true });
  try {
    const ending = await ended;
    // It has ended in time. And once the group is killed, another group may get its id.
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
    kill();
    await Promise.race([
      Promise.all(outputs.map(endOfOutput)),
      sleep(OUTPUT_MILLIS, undefined, { ref: false }),
    ]);
    return { ending, said, isLate };
  } finally {
    for (const stream of child.stdio) stream?.destroy();
  }
}

/** @returns the error where the system refuses at once: too long an environment, no memory. */
function begin(command: string, slot: string, env: ProbeCommand['env']): ChildProcess | Error {
  try {
    return spawn('/bin/sh', ['-c', process.pid === 1 ? ALONE : GUARDED, 'sh', command], {
      detached: true,
      cwd: slot,
      env: { ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function outputsOf({ stdout, stderr }: ChildProcess): Readable[] {
  // A command that could not be started has none.
  return [stdout, stderr].filter((stream) => stream !== null && stream !== undefined);
}

const endOfOutput = (stream: Readable): Promise<void> =>
  new Promise((resolve) => void stream.once('close', resolve));

function endOf(child: ChildProcess): Promise<Ending> {
  return new Promise((resolve) => {
    child.once('error', ({ message }) => resolve({ how: 'error', why: message }));
    child.once('exit', (code, signal) =>
      resolve(code === null ? { how: 'signal', signal: signal ?? 'a signal' } : { how: 'code', code }),
    );
  });
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) {
      process.kill(-pid, 'SIGKILL');
    }
  } catch {
    // The group has just ended by itself.
  }
}

/** How the tree differs from what was validated; undefined if it does not. */
function changeOf(
  context: StoreContext,
  slot: string,
  files: readonly FileEntry[],
  isTouched: boolean,
): string | undefined {
  try {
    const found = hashTree(context, slot);
    const { modified, missing, unlisted } = compareTrees(files, found.files);
    const marker = isTouched || context.disk.stat(join(slot, MARKER)) === undefined ? [] : [MARKER];
    return differenceText({ modified, missing, unlisted: [...unlisted, ...found.others, ...marker] });
  } catch (error) {
    return `it cannot be read back: ${error instanceof Error ? error.message : String(error)}`;
  }
}
