/** Work on a root by a command, without an agent to ask: the same code, under the same locks, in this process. */
import { join, resolve } from 'node:path';

import type { Reload } from '../shared/rule/classify.ts';
import { type Fault, errorCode } from '../shared/api/fault.ts';
import { layoutOf } from '../shared/format/layout.ts';
import type { Params, Result } from '../shared/api/methods.ts';
import { createIgnore } from '../shared/format/tree.ts';
import { type Booted, bootInstall } from './service/boot-install.ts';
import { readWorkConfig } from './config.ts';
import { nodeDisk } from './disk/node-disk.ts';
import type { Drifted } from './store/drift.ts';
import { listedDrift } from './store/inspect.ts';
import type { Clock } from '../shared/clock.ts';
import { type RootStatus, statusOf } from './service/status.ts';
import { openService } from './service/service.ts';

/** The changes that a command can make by itself, by the methods that ask an agent for them. */
export type LocalChange = 'plugin.rollback' | 'plugin.uninstall' | 'runtime.restarted' | 'recover' | 'sweep';

/** What a command can do by itself. */
export type Local = {
  changes: { readonly [M in LocalChange]: (params: Params<M>) => Promise<Result<M>> };
  classify(params: Params<'plugin.classify'>): Promise<Reload>;
  status(): Promise<RootStatus>;
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

/** @throws Fault INVALID_PARAMS, READ_ONLY, NO_SPACE, INTERNAL if the root cannot be worked on. */
export function openLocal({ flags, env, workerFile, complain }: LocalOptions): Local {
  const config = readWorkConfig(flags, env);
  process.umask(0o022);
  const clock = patientClock();
  const service = openService(config, {
    workerFile,
    clock,
    tell: () => undefined,
    complain: (fault) => complain(fault),
  });
  return {
    changes: {
      'plugin.rollback': (params) => service.changes.rollback(params, BY),
      'plugin.uninstall': (params) => service.changes.uninstall(params, BY),
      'runtime.restarted': (params) => service.loads.restarted(params),
      recover: ({ plugin }) => service.maintenance.recover(plugin),
      sweep: () => service.maintenance.sweep(),
    },
    classify: (params) => service.queries.classify(params),
    status: () => statusOf(service, config),
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
