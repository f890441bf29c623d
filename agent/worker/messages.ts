/** What the main thread and an engine thread say to each other. */
import type { EventBody } from '../../shared/api/events.ts';
import type { FaultData } from '../../shared/api/fault.ts';
import type { BeginParams, Installed } from '../../shared/api/methods.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Durability, InstallPolicy } from '../store/context.ts';
import type { HandlerName } from './handlers.ts';

/** Marks a thread as an engine: the bundle is one file, which looks at this to know what it is to be. */
export const ENGINE = 'airlock-engine';

/** What an engine thread is started with. */
export type EngineData = {
  kind: typeof ENGINE;
  root: string;
  /** Where runtimes say what they have loaded, if not below the root. */
  loadedDir: string | undefined;
  policy: InstallPolicy;
  durability: Durability;
  owner: Intent['owner'];
  /** Not 0 while a restart of the agent's own runs, in memory that all threads share; undefined: it makes none. */
  restartRuns?: Int32Array<SharedArrayBuffer> | undefined;
};

/** A question or a change that takes one message, and has one answer; see handlers. */
type Call = { kind: 'call'; name: HandlerName; params: unknown; by: string };

/** An install takes begin, data, commit, install. */
type ToInstall =
  | { kind: 'begin'; params: BeginParams; by: string }
  | { kind: 'data'; bytes: Uint8Array }
  | { kind: 'commit' }
  | { kind: 'install' }
  | { kind: 'abort' };
export type ToEngine = Call | ToInstall;

export type FromEngine =
  /** The answer to a call. */
  | { kind: 'answer'; answer: unknown }
  /** Answer to `begin`: there is nothing to send, or a slot is open. */
  | { kind: 'settled'; answer: Installed }
  | { kind: 'opened'; stamp: string }
  /** That many bytes of the bundle are taken in, in all. A fault says that more would be in vain. */
  | { kind: 'taken'; offset: number; fault: FaultData | undefined }
  | { kind: 'validated' }
  | { kind: 'installed'; answer: Installed }
  /** The task has failed, and nothing of it is left. */
  | { kind: 'failed'; fault: FaultData; stack: string | undefined }
  /** The task is over, its house-keeping included: the thread can take another. */
  | { kind: 'done' }
  | { kind: 'event'; event: EventBody }
  | { kind: 'complaint'; fault: FaultData; stack: string | undefined };
/**
 * Each message names the task that it belongs to: a thread that has ended a task may still be told to abort it, and
 * what it says of an old task must not be taken for an answer to the next.
 */
export type Envelope<M> = { task: number; message: M };
