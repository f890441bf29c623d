/** What every step stands on: the disk, the places, the owner's policy, the clock. */
import type { Ignore } from '../../shared/format/tree.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Layout } from '../../shared/format/layout.ts';
import type { EventBody } from '../../shared/api/events.ts';
import type { Fault } from '../../shared/api/fault.ts';
import type { Disk } from '../disk/port.ts';

/** What the owner of the workspace has decided. Sizes in bytes. */
export type InstallPolicy = {
  manifest: 'required' | 'optional';
  runtime: string | undefined;
  /** Names beyond the built-in ones that are no part of a plugin. */
  ignore: string[];
  /** Whom installed files belong to; undefined leaves them with the agent's user. */
  owner: { uid: number; gid: number } | undefined;
  /** Snapshots kept per plugin. */
  keep: number;
  /** Milliseconds after which a snapshot goes though there is room for it. */
  keepMillis: number;
  /** Who restarts the runtime after a cold change: who asked for it, or the agent with a command of its own. */
  restarts: 'caller' | 'command';
  maxPacked: number;
  maxUnpacked: number;
  maxEntries: number;
  maxDepth: number;
  maxRatio: number;
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
export type Sight = Pick<StoreContext, 'disk' | 'layout' | 'ignore'>;
