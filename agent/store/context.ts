/** What every step stands on: the disk, the places, the owner's policy, the clock. */
import type { Ignore } from '../../shared/format/tree.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Layout } from '../../shared/format/layout.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { type Fault, toFault } from '../../shared/api/fault.ts';
import { attempt as tryTo } from '../../shared/attempt.ts';
import type { SettingsPart } from '../../shared/api/settings.ts';
import type { Disk } from '../disk/port.ts';

/** What the owner of the workspace has decided, by the names of the settings. Sizes in bytes, times in milliseconds. */
export type InstallPolicy = SettingsPart<'policy'> & {
  /** Who restarts the runtime after a cold change: who asked for it, or the agent with a command of its own. */
  restarts: 'caller' | 'command';
};

/** `none`: nothing is synced, so a power cut may take what was acknowledged. */
export type Durability = 'full' | 'none';

export type StoreContext = {
  disk: Disk;
  layout: Layout;
  policy: InstallPolicy;
  ignore: Ignore;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Who holds the intents that this process writes. */
  owner: Intent['owner'];
  /** Where steps tell how they are getting on. */
  tell: (event: EventBody) => void;
  /** Where failures go that change nothing for who asked. */
  complain: (fault: Fault) => void;
  /** Whether a restart of the agent's own runs; undefined: it makes none. */
  restartRuns: (() => boolean) | undefined;
};

/** What it takes to look, and to change nothing. */
export type ReadContext = Pick<StoreContext, 'disk' | 'layout' | 'ignore'>;

/**
 * Does what changes nothing for who asked. Never throws: a failure is complained of.
 *
 * @param doing what is being done, as it begins a sentence. @param otherwise what a failure gives; left out: undefined.
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
