/** Work on a root by a command, without an agent to ask: the same code, under the same locks, in this process. */
import type { Reload } from '../shared/classify.ts';
import type { Fault } from '../shared/fault.ts';
import type { Params, Result } from '../shared/methods.ts';
import { type Booted, bootInstall } from './boot.ts';
import { readWorkConfig } from './config.ts';
import type { Clock } from './operation/clock.ts';
import { type RootStatus, statusOf } from './status.ts';
import { openWorkshop } from './workshop.ts';

/** What a command can do by itself. */
export type Local = {
  rollback(params: Params<'plugin.rollback'>): Promise<Result<'plugin.rollback'>>;
  uninstall(params: Params<'plugin.uninstall'>): Promise<Result<'plugin.uninstall'>>;
  classify(params: Params<'plugin.classify'>): Promise<Reload>;
  recover(plugin: string | undefined): Promise<Result<'recover'>>;
  sweep(): Promise<Result<'sweep'>>;
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
  const workshop = openWorkshop(config, {
    workerFile,
    clock,
    tell: () => undefined,
    complain: (fault) => complain(fault),
  });
  return {
    rollback: (params) => workshop.changes.rollback(params, BY),
    uninstall: (params) => workshop.changes.uninstall(params, BY),
    classify: (params) => workshop.looks.classify(params),
    recover: (plugin) => workshop.care.recover(plugin),
    sweep: () => workshop.care.sweep(),
    status: () => statusOf(workshop, config),
    boot: (directory) => bootInstall(workshop, config.root, directory),
    close: async () => {
      await workshop.drain();
      await workshop.close();
      // What is forgotten after a while need not be waited for.
      clock.stop();
    },
  };
}
