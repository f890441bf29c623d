/**
 * Asks every check of a root and of the process that works on it. None is waited for longer than a while: of a disk that
 * hangs the checks say just that, and those of the process are made all the same.
 */
import { access, constants } from 'node:fs/promises';

import {
  type CheckFound,
  type CheckName,
  type CheckResult,
  type Diagnosis,
  type ProcessCheck,
  type RootCheck,
  type SettingInfo,
  checkNames,
  isRootCheck,
  note,
  ok,
  warning,
  worstOf,
  wrong,
} from '../../shared/api/doctor.ts';
import { errorCode, toFault } from '../../shared/api/fault.ts';
import type { Clock } from '../../shared/clock.ts';
import { lockKindOf } from '../disk/lock.ts';
import { linuxCalls } from '../disk/linux.ts';
import { deferred } from '../worker/deferred.ts';

/** Milliseconds that a check may take. */
const CHECK_MILLIS = 5000;
/** Each check that hangs keeps a thread; with so many gone no further one can be asked. */
export const DOCTOR_THREADS = 2;

/** The checks that a process makes about itself; those that do not concern it are left out. */
export type OwnChecks = { readonly [N in ProcessCheck]?: () => Promise<CheckFound[]> };

export type DoctorOptions = {
  root: string;
  /** The version of the agent; undefined: this is a command. */
  agent: () => string | undefined;
  settings: readonly SettingInfo[];
  own: OwnChecks;
  /** Makes a check of the root in a thread. @param busy the plugins that somebody works on. */
  ask: (check: RootCheck, busy: readonly string[]) => Promise<CheckFound[]>;
  /** The plugins that somebody works on, here or in another process. */
  busy: () => Promise<string[]>;
  clock: Clock;
};

/** Who asks while another one is answered gets the same answer. */
export function openDoctor(options: DoctorOptions): () => Promise<Diagnosis> {
  let running: Promise<Diagnosis> | undefined;
  return () =>
    (running ??= examine(options).finally(() => {
      running = undefined;
    }));
}

async function examine(options: DoctorOptions): Promise<Diagnosis> {
  const { root, settings, own, ask, busy, clock } = options;
  const agent = options.agent();
  const within = (work: () => Promise<CheckFound[]>): Promise<CheckFound[] | undefined> =>
    unlessLate(clock, work);
  const ofProcess = checkNames.map(async (name): Promise<[CheckName, CheckFound[]]> => {
    const check = isRootCheck(name) ? undefined : own[name];
    return [name, check === undefined ? [] : ((await within(check)) ?? [silent(name)])];
  });
  const found = new Map<CheckName, CheckFound[]>();
  let threads = DOCTOR_THREADS;
  for (const name of checkNames.filter(isRootCheck)) {
    if (threads === 0) {
      found.set(name, [unasked]);
      continue;
    }
    const answer = await within(async () => ask(name, name === 'leftovers' ? await busy() : []));
    threads -= answer === undefined ? 1 : 0;
    found.set(name, answer ?? [silent(name)]);
    if (name === 'root' && answer?.some(({ level }) => level === 'error') === true) {
      // Of a root that is not there the others would only repeat that.
      break;
    }
  }
  for (const [name, answer] of await Promise.all(ofProcess)) {
    found.set(name, [...(found.get(name) ?? []), ...answer]);
  }
  const results = checkNames.flatMap((check) =>
    (found.get(check) ?? []).map((one): CheckResult => ({ check, ...one })),
  );
  return {
    ...(agent === undefined ? {} : { agent }),
    root,
    level: worstOf(results.map(({ level }) => level)),
    checks: results,
    settings: [...settings],
  };
}

/** @returns undefined if it takes too long; then nobody waits for it any more. A failure is a finding. */
async function unlessLate(
  clock: Clock,
  work: () => Promise<CheckFound[]>,
): Promise<CheckFound[] | undefined> {
  const patience = deferred<undefined>();
  const cancel = clock.after(CHECK_MILLIS, () => patience.resolve(undefined));
  try {
    return await Promise.race([work().catch(failed), patience.promise]);
  } finally {
    cancel();
  }
}

const LOOK_AT_DISK =
  'Look at the disk and its server (dmesg, mount, df); a process that waits for it cannot be killed before it answers';

const silent = (name: CheckName): CheckFound =>
  wrong(
    `The check "${name}" did not answer within ${CHECK_MILLIS / 1000} s`,
    'A disk that hangs lets every change wait, and perhaps every list',
    LOOK_AT_DISK,
  );

const unasked = wrong(
  'Not checked, because the checks before it did not answer',
  'The disk hangs',
  LOOK_AT_DISK,
);

function failed(error: unknown): CheckFound[] {
  const { message, hint } = toFault(error, 'The check');
  return [wrong(message, 'What it was to say is not known', hint ?? 'Look at the log of the agent')];
}

/**
 * Names the plugins that somebody works on, here or in another process. What cannot be asked counts as not worked on.
 *
 * @param running the operations of this process.
 */
export async function busyPlugins(
  running: readonly { plugin: string }[],
  inventory: { unfinished: () => Promise<string[]> },
  locks: { holderOf: (plugin: string) => Promise<unknown> },
): Promise<string[]> {
  const names = new Set(running.map(({ plugin }) => plugin));
  for (const plugin of await inventory.unfinished().catch(() => [])) {
    const holder = names.has(plugin) ? undefined : await locks.holderOf(plugin).catch(() => undefined);
    if (holder !== undefined) names.add(plugin);
  }
  return [...names];
}

const NO_LOCKS = 'Nothing can be changed, because no process could keep the others out';

/** @param directory with the lock files. */
export async function checkLocks(directory: string): Promise<CheckFound[]> {
  try {
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = errorCode(error) ?? String(error);
    if (code === 'ENOENT') {
      return [note('There are no locks yet: the first change, or the first agent, makes the directory')];
    }
    const fix =
      code === 'EROFS'
        ? 'Mount the root for writing'
        : `Give "${directory}" to the user of the agent, and run all commands as that user`;
    return [wrong(`Locks cannot be taken in "${directory}": ${code}`, NO_LOCKS, fix)];
  }
  if ((await lockKindOf(directory)) === 'flock') {
    return [ok('Processes exclude each other by flock')];
  }
  const calls = linuxCalls();
  const why =
    'A process of another container that was killed counts as the holder of its locks for a minute; until then a change is LOCKED';
  return [
    typeof calls === 'string'
      ? note(`Processes exclude each other by lock records: ${calls}`, why)
      : warning(
          'Processes exclude each other by lock records, because this file system has no flock',
          why,
          'Put the root on a local file system, or mount the network file system with locks',
        ),
  ];
}
