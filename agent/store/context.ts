/** What every step gets: the disk, the paths, the owner's policy, the clock. */
import type { Ignore } from '../../shared/format/tree.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Layout } from '../../shared/format/layout.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { type Fault, toFault } from '../../shared/api/fault.ts';
import { attempt as tryTo } from '../../shared/attempt.ts';
import type { SettingsPart } from '../../shared/api/settings.ts';
import type { Disk } from '../disk/port.ts';

/** The owner's decisions, by the names of the settings. Sizes in bytes, times in milliseconds. */
export type InstallPolicy = SettingsPart<'policy'> & {
  /** Who restarts the runtime after a cold change: the caller of the change, or the agent with its command. */
  restarts: 'caller' | 'command';
  /** The command that tests each staged tree; undefined: none. */
  probe: ProbeCommand | undefined;
};

export type ProbeCommand = {
  /** For `/bin/sh -c`. */
  command: string;
  /** Milliseconds after which the command and all its children are killed. */
  timeout: number;
  env: Readonly<Record<string, string | undefined>>;
};

/** `none`: nothing is synced, so a power cut may destroy acknowledged installs. */
export type Durability = 'full' | 'none';

export type StoreContext = {
  disk: Disk;
  layout: Layout;
  policy: InstallPolicy;
  ignore: Ignore;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** The holder of the intents that this process writes. */
  owner: Intent['owner'];
  /** Receives the progress of steps. */
  tell: (event: EventBody) => void;
  /** Receives failures that do not change the answer. */
  complain: (fault: Fault) => void;
  /** Whether the agent's restart command is running; undefined: it has none. */
  restartRuns: (() => boolean) | undefined;
  /**
   * Removes a tree that nobody needs any more, when the operation holds no lock; undefined: such trees are removed at
   * once.
   */
  removeLater?: (path: string) => void;
};

/** The part that is needed to unpack a bundle and look at it. */
export type StageContext = Pick<StoreContext, 'disk' | 'ignore'> & {
  policy: Omit<InstallPolicy, 'keep' | 'keepMillis' | 'restarts' | 'probe'>;
};

/** The part that is needed to read and change nothing. */
export type ReadContext = Pick<StoreContext, 'disk' | 'layout' | 'ignore'>;

/**
 * Does work that does not change the answer. Never throws: a failure is reported.
 *
 * @param doing what is being done, as the beginning of a sentence. @param otherwise the result of a failure.
 */
export function attempt<T>(context: Complaining, doing: string, run: () => T): T | undefined;
export function attempt<T>(context: Complaining, doing: string, run: () => T, otherwise: T): T;
export function attempt<T>(
  { complain }: Complaining,
  doing: string,
  run: () => T,
  otherwise?: T,
): T | undefined {
  return tryTo(run, (error) => {
    complain(toFault(error, doing));
    return otherwise;
  });
}

type Complaining = Pick<StoreContext, 'complain'>;
