/** Work on a root by a command, without an agent to ask: the same code, under the same locks, in this process. */
import { join, resolve } from 'node:path';

import type { Caller } from '../shared/api/caller.ts';
import { Fault, errorCode } from '../shared/api/fault.ts';
import { layoutOf } from '../shared/format/layout.ts';
import { type MethodName, methods } from '../shared/api/methods.ts';
import { createIgnore } from '../shared/format/tree.ts';
import { type Booted, bootInstall } from './service/boot-install.ts';
import { readWorkConfig } from './config.ts';
import { nodeDisk } from './disk/node-disk.ts';
import type { Drifted } from './store/drift.ts';
import { listedDrift } from './store/inspect.ts';
import type { Clock } from '../shared/clock.ts';
import type { Streamed } from './service/execute.ts';
import { openService } from './service/service.ts';

/** The service of this process, for a command: it is asked as an agent is. */
export type Local = Caller & {
  /** Installs what is new among the bundles of a directory. */
  boot(directory: string): Promise<Booted[]>;
  /** Waits until house-keeping is over, and gives everything back. */
  close(): Promise<void>;
};

export type LocalOptions = {
  /** By setting name, as text. */
  flags: Readonly<Record<string, string | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  /** The module that runs as engine thread. */
  workerFile: URL;
  /** Told of failures that change nothing for who asked. */
  complain: (fault: Fault) => void;
};

/** Who stands in markers where no token says it. */
const BY = 'local';

/** Keeps the process alive until it is stopped: a command that waits for a lock has nothing else to do. */
function patientClock(): Clock & { stop: () => void } {
  const timers = new Set<NodeJS.Timeout>();
  return {
    now: Date.now,
    after(millis, call) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        call();
      }, millis);
      timers.add(timer);
      return () => {
        timers.delete(timer);
        clearTimeout(timer);
      };
    },
    stop: () => timers.forEach((timer) => clearTimeout(timer)),
  };
}

/** Streams without a connection: each is read once, or never. */
class Streams {
  readonly #lines = new Map<number, readonly object[]>();
  #last = 0;

  open({ answer, lines }: Streamed<object>): object {
    if (lines === undefined) {
      return answer;
    }
    this.#last += 1;
    this.#lines.set(this.#last, lines);
    return { ...answer, stream: this.#last };
  }

  async *receive(stream: number): AsyncGenerator<Uint8Array, void, undefined> {
    const lines = this.#lines.get(stream) ?? [];
    this.#lines.delete(stream);
    for (const line of lines) {
      yield Buffer.from(`${JSON.stringify(line)}\n`, 'utf8');
    }
  }
}

/** @throws Fault INVALID_PARAMS, READ_ONLY, NO_SPACE, INTERNAL if the root cannot be worked on. */
export async function openLocal({ flags, env, workerFile, complain }: LocalOptions): Promise<Local> {
  const config = readWorkConfig(flags, env);
  process.umask(0o022);
  const clock = patientClock();
  const service = await openService(config, {
    workerFile,
    clock,
    about: () => ({}),
    tell: () => undefined,
    complain: (fault) => complain(fault),
  });
  const streams = new Streams();
  const call = async (method: MethodName, params: unknown): Promise<unknown> => {
    if (method === 'session.start' || method === 'install.begin') {
      throw new Fault('INVALID_PARAMS', `"${method}" takes a connection to an agent`, {
        hint: 'Start an agent on this root, and name its address with --to',
      });
    }
    // The caller has chosen the parameters by the method, which the compiler cannot follow through the table.
    const executed: unknown = await service.execute(method, params as never, BY);
    return methods[method].streams ? streams.open(executed as Streamed<object>) : executed;
  };
  return {
    call: call as Caller['call'],
    receive: (stream) => streams.receive(stream),
    boot: (directory) => bootInstall(service, config.root, directory),
    close: async () => {
      await service.drain();
      await service.close();
      // What is forgotten after a while need not be waited for.
      clock.stop();
    },
  };
}

/** What the system says to whoever may not read something. */
const DENIED: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM']);

/**
 * How many files of a plugin are not those that were installed, as an agent's list says it. For whoever may only read:
 * makes nothing, and does not count what cannot be read.
 *
 * @param place the root, and what more is left out. @param installId the version that is live.
 */
export function countDrift(
  { root, ignore }: { root: string; ignore: readonly string[] },
  plugin: string,
  installId: string,
): number {
  const layout = layoutOf(resolve(root));
  const sight = { disk: nodeDisk, layout, ignore: createIgnore(ignore) };
  const isCertain = ({ path, change }: Drifted): boolean => {
    const file = join(layout.live(plugin), path);
    try {
      if (change === 'removed') {
        return nodeDisk.stat(file) === undefined;
      }
      nodeDisk.close(nodeDisk.open(file));
      return true;
    } catch (error) {
      return !DENIED.has(errorCode(error));
    }
  };
  return listedDrift(sight, plugin, installId).filter(isCertain).length;
}
