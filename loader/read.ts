/** Reading the files of a plugin so that all of them are of one generation, also while an update swaps it. */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';

import { Fault, type FaultCode } from '../shared/api/fault.ts';
import { type Gate, ask } from './gate.ts';
import { readGeneration } from './generation.ts';
import type { Plugin, Refusal } from './plugin.ts';
import { isSame, lookAt } from './probe/facts.ts';
import { troubleOf } from './probe/trouble.ts';
import type { Settings } from './settings.ts';

/** So often a reader is run: what is replaced that often while it is read is replaced too fast for this reader. */
const RUNS = 3;
/** An update between the gate's answer and the open directory means asking again; so many in a row are no update. */
const HOLDS = 20;

/**
 * Reads files below `root`, which is only good until it returns or its promise settles. It may be run more than once.
 */
export type Reader<T> = (root: string, version: { readonly generation: string }) => T | Promise<T>;

export type Read = <T>(plugin: string | Pick<Plugin, 'name'>, reader: Reader<T>) => Promise<T>;

/** A version that stands still, or of which can be said afterwards that it did. */
type Hold = {
  root: string;
  /** Whether everything that was read below the root since is of this version, and nothing of it was missing. */
  stood: () => Promise<boolean>;
  release: () => Promise<void>;
};

/** Undefined: another version lies there by now, or nothing. */
type Take = (plugin: Plugin) => Promise<Hold | undefined>;

/** @param canPin whether open directories can be read through /proc; tests say no where they can. */
export function createRead(settings: Settings, gate: Gate, canPin: () => Promise<boolean> = probeProc): Read {
  let pins: Promise<boolean> | undefined;
  const hold = async (name: string): Promise<Hold & Pick<Plugin, 'generation'>> => {
    const take: Take = (await (pins ??= canPin())) ? pin : watch;
    for (let i = 0; i < HOLDS; i++) {
      const answer = await ask(gate, settings, name);
      if (!answer.admitted) {
        throw refused(answer);
      }
      const held = await take(answer.plugin);
      if (held !== undefined) {
        return { ...held, generation: answer.plugin.generation };
      }
    }
    throw tooFast(name, `${HOLDS} times in a row before it could be read`);
  };
  return async (plugin, reader) => {
    const name = typeof plugin === 'string' ? plugin : plugin.name;
    let cause: unknown;
    for (let i = 0; i < RUNS; i++) {
      const { root, generation, stood, release } = await hold(name);
      try {
        const end = await run(() => reader(root, { generation }));
        // What a reader throws in a tree that vanishes says nothing of the plugin.
        if (await stood()) {
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

/** Runs to the end, whichever; what is returned gives the value or throws the error. */
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

/** What opening says where the plugin is away, or something else lies in its place: the gate will say what. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EMLINK']);

/**
 * Opens the directory: whatever is then moved where, below `/proc/self/fd/N` lies the version that was opened. It is
 * whole as long as it has its marker, for that goes first when an old version is removed (rule 21).
 */
const pin: Take = async ({ path, generation }) => {
  let directory: FileHandle;
  try {
    directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (GONE.has(troubleOf(error).code)) {
      return undefined;
    }
    throw error;
  }
  const root = `/proc/self/fd/${directory.fd}`;
  const stood = async (): Promise<boolean> =>
    (await readGeneration(root, await directory.stat({ bigint: true }))) === generation;
  const release = (): Promise<void> => directory.close();
  let isIt = false;
  try {
    isIt = await stood();
  } finally {
    if (!isIt) {
      await release();
    }
  }
  return isIt ? { root, stood, release } : undefined;
};

/** Without /proc: reads at the live path, and looks afterwards whether the same directory lay there all the time. */
const watch: Take = async ({ path, generation }) => {
  const before = await lookAt(path);
  if (before.kind !== 'directory' || (await readGeneration(path, before.stats)) !== generation) {
    return undefined;
  }
  const stood = async (): Promise<boolean> => {
    const after = await lookAt(path);
    return after.kind === 'directory' && isSame(before.stats, after.stats);
  };
  return { root: path, stood, release: () => Promise.resolve() };
};

/** Whether an open directory can be read through /proc here; a container may come without. */
async function probeProc(): Promise<boolean> {
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
