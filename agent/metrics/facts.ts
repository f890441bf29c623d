/** What metrics are made of: what happens in the agent, and what is so at the moment of a scrape. */
import type { EventBody } from '../../shared/api/events.ts';
import type { FaultCode } from '../../shared/api/fault.ts';
import type { DialStatus, RestartStatus, Status, WatchStatus } from '../../shared/api/maintenance.ts';
import type { MethodName } from '../../shared/api/methods.ts';

/** What is counted when it happens: every event of the agent, and what its transport and its loop tell. */
export type Heard =
  | EventBody
  /** A request of a session was answered: `none`, or the code of its fault. */
  | { type: 'request.answered'; data: { method: MethodName; code: FaultCode | 'none' } }
  /** An upgrade or a page was refused. */
  | { type: 'request.refused'; data: { code: FaultCode } }
  /** The token of a request was missing or not known. */
  | { type: 'authentication.failed' }
  /** A TLS handshake has failed. */
  | { type: 'handshake.failed' }
  /** The event loop came so late (seconds). */
  | { type: 'loop.delayed'; data: { seconds: number } };

/** The connections of one direction since the start of the agent, and their messages. */
export type Traffic = { open: number; opened: number; receivedBytes: number; sentBytes: number };

/** Tasks that have a thread of a pool, and tasks that wait for one. */
export type ThreadUsage = { busy: number; waiting: number };

/** What is counted on the disk. */
export type RootMeasure = {
  plugins: Status['plugins'] & { held: number; disabled: number };
  troubles: number;
  snapshots: number;
  /** Plugins with a change that is under way or was interrupted. */
  unfinished: number;
  freeBytes: number;
};

/** What is so at the moment of a scrape. */
export type Facts = {
  version: string;
  node: string;
  /** Seconds since the epoch. */
  startedAt: number;
  cpuSeconds: number;
  residentBytes: number;
  draining: boolean;
  watch: WatchStatus;
  dial: DialStatus | null;
  restart: RestartStatus | null;
  /** By which side opened them. */
  traffic: Readonly<Record<'client' | 'platform', Traffic>>;
  /** When the TLS certificate ends, in seconds since the epoch; undefined: there is none. */
  certificateEnds: number | undefined;
  operations: number;
  lanesWaiting: number;
  threads: Readonly<Record<string, ThreadUsage>>;
  /** Undefined until the disk was looked at, and after a look that failed. */
  root: RootMeasure | undefined;
  /** The last look at the disk: how old it is and how long it took, in seconds; undefined: there was none yet. */
  look: { ageSeconds: number; tookSeconds: number } | undefined;
};
