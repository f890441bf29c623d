/** Reads the files of a plugin so that all of them are of one generation, also while an update swaps it. */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';

import { Fault, type FaultCode } from '../shared/api/fault.ts';
import { type Gate, ask } from './gate.ts';
import { readGeneration } from './generation.ts';
import type { Plugin, Refusal } from './plugin.ts';
import { isSame, statEntry } from './disk/facts.ts';
import { systemErrorOf } from './disk/system-error.ts';
import type { Settings } from './settings.ts';

/** How often a reader is called. A plugin that is replaced during every call is replaced too fast for this reader. */
const RUNS = 3;
/** If an update comes between the gate's answer and the opening of the directory, the gate is asked again, at most so often. */
const OPEN_ATTEMPTS = 20;

/** Reads files below `root`, which is valid until it returns or its promise settles. It may be called more than once. */
export type Reader<T> = (root: string, version: { readonly generation: string }) => T | Promise<T>;

export type Read = <T>(plugin: string | Pick<Plugin, 'name'>, reader: Reader<T>) => Promise<T>;

/** A version that does not change, or for which a check afterwards shows that it did not. */
type OpenVersion = {
  root: string;
  /** Whether all that was read below the root is of this version, and nothing of it was missing. */
  isUnchanged: () => Promise<boolean>;
  release: () => Promise<void>;
};

/** Undefined: another version is live by now, or none. */
type Open = (plugin: Plugin) => Promise<OpenVersion | undefined>;

/** @param canPin whether open directories can be read through /proc; tests replace it. */
export function createRead(
  settings: Settings,
  gate: Gate,
  canPin: () => Promise<boolean> = canReadThroughProc,
): Read {
  let pinning: Promise<boolean> | undefined;
  const openCurrent = async (name: string): Promise<OpenVersion & Pick<Plugin, 'generation'>> => {
    const openVersion: Open = (await (pinning ??= canPin())) ? openByDescriptor : openByPath;
    for (let i = 0; i < OPEN_ATTEMPTS; i++) {
      const answer = await ask(gate, settings, name);
      if (!answer.admitted) {
        throw refused(answer);
      }
      const opened = await openVersion(answer.plugin);
      if (opened !== undefined) {
        return { ...opened, generation: answer.plugin.generation };
      }
    }
    throw tooFast(name, `${OPEN_ATTEMPTS} times in a row before it could be read`);
  };
  return async (plugin, reader) => {
    const name = typeof plugin === 'string' ? plugin : plugin.name;
    let cause: unknown;
    for (let i = 0; i < RUNS; i++) {
      const { root, generation, isUnchanged, release } = await openCurrent(name);
      try {
        const end = await run(() => reader(root, { generation }));
        // An error of a reader in a tree that vanishes says nothing about the plugin.
        if (await isUnchanged()) {
          return end();
        }
        cause = await thrownBy(end);
      } finally {
        await release();
      }
    }
    throw tooFast(name, `${RUNS} times in a row while it was read`, cause);
  };
}

/** Runs the work. The returned function gives its value or throws its error. */
async function run<T>(work: () => T | Promise<T>): Promise<() => T> {
  try {
    const value = await work();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

async function thrownBy(end: () => unknown): Promise<unknown> {
  try {
    await end();
    return undefined;
  } catch (error) {
    return error;
  }
}

/**
 * The errors of opening a directory that is absent or has been replaced by something else. The gate then says what is
 * there.
 */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EMLINK']);

/**
 * Opens the directory. `/proc/self/fd/N` stays this version wherever the directory is moved. It is complete as long as it
 * has its marker, because the removal of an old version begins with the marker (rule 21).
 */
const openByDescriptor: Open = async ({ path, generation }) => {
  let directory: FileHandle;
  try {
    directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (GONE.has(systemErrorOf(error).code)) {
      return undefined;
    }
    throw error;
  }
  const root = `/proc/self/fd/${directory.fd}`;
  const isUnchanged = async (): Promise<boolean> =>
    (await readGeneration(root, await directory.stat({ bigint: true }))) === generation;
  const release = (): Promise<void> => directory.close();
  let isCurrent = false;
  try {
    isCurrent = await isUnchanged();
  } finally {
    if (!isCurrent) {
      await release();
    }
  }
  return isCurrent ? { root, isUnchanged, release } : undefined;
};

/** Without /proc: reads at the live path and checks afterwards whether the same directory was there all the time. */
const openByPath: Open = async ({ path, generation }) => {
  const before = await statEntry(path);
  if (before.kind !== 'directory' || (await readGeneration(path, before.stats)) !== generation) {
    return undefined;
  }
  const isUnchanged = async (): Promise<boolean> => {
    const after = await statEntry(path);
    return after.kind === 'directory' && isSame(before.stats, after.stats);
  };
  return { root: path, isUnchanged, release: () => Promise.resolve() };
};

/** Whether an open directory can be read through /proc here; a container may lack it. */
async function canReadThroughProc(): Promise<boolean> {
  if (process.platform !== 'linux') {
    return false;
  }
  const directory = await open('/', constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const [opened, found] = [await directory.stat(), await stat(`/proc/self/fd/${directory.fd}/.`)];
    return opened.dev === found.dev && opened.ino === found.ino;
  } catch {
    return false;
  } finally {
    await directory.close();
  }
}

function refused({ name, reason, detail, hint }: Refusal): Fault {
  const codes: Partial<Record<Refusal['reason'], FaultCode>> = {
    'not-a-directory': 'NOT_FOUND',
    'in-transition': 'LOCKED',
  };
  return new Fault(codes[reason] ?? 'CONFLICT', `"${name}" is refused (${reason}): ${detail}`, { hint });
}

function tooFast(name: string, when: string, cause?: unknown): Fault {
  return new Fault('LOCKED', `"${name}" was replaced ${when}`, {
    cause,
    hint: 'Read it again later; a reader that is slower than the updates must read less at once',
  });
}
