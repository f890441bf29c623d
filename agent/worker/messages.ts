/** The messages between the main thread and an engine thread. */
import type { EventBody } from '../../shared/api/events.ts';
import type { FaultData } from '../../shared/api/fault.ts';
import type { BeginParams, ExportParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Durability, InstallPolicy } from '../store/context.ts';
import type { HandlerName } from './handlers.ts';

/** Marks a thread as an engine. The bundle is one file, and checks this to decide what to run. */
export const ENGINE = 'airlock-engine';

/** The data with which an engine thread starts. */
export type EngineData = {
  kind: typeof ENGINE;
  root: string;
  /** The directory of reports about loaded versions, if it is not below the root. */
  loadedDir: string | undefined;
  policy: InstallPolicy;
  durability: Durability;
  owner: Intent['owner'];
  /**
   * Not 0 while the agent's restart command runs, in memory that all threads share; undefined: the agent has no such
   * command.
   */
  restartRuns?: Int32Array<SharedArrayBuffer> | undefined;
};

/** A call with one message and one answer; see handlers. */
type Call = { kind: 'call'; name: HandlerName; params: unknown; by: string };

/** An install takes begin, data, commit, install. */
type ToInstall =
  /** `question`: the digest of the request, if it is another one than `install.begin`. */
  | { kind: 'begin'; params: BeginParams; by: string; question?: string | undefined }
  | { kind: 'data'; bytes: Uint8Array }
  | { kind: 'commit' }
  | { kind: 'install' }
  | { kind: 'abort' };
/** An export takes the message `export`, and then `pull` for each piece. */
type ToExport = { kind: 'export'; params: ExportParams } | { kind: 'pull' };
export type ToEngine = Call | ToInstall | ToExport;

export type FromEngine =
  /** The answer to a call, or to the beginning of an export. */
  | { kind: 'answer'; answer: unknown }
  /** The answer to `begin`: there is nothing to send, or a slot is open. */
  | { kind: 'settled'; answer: Installed }
  | { kind: 'opened'; stamp: string }
  /** The number of bytes of the bundle that are taken in so far. With a fault, further bytes may be useless. */
  | { kind: 'taken'; offset: number; fault: FaultData | undefined }
  /** The directories of the staged tree. */
  | { kind: 'validated'; directories: readonly string[] }
  | { kind: 'installed'; answer: Installed }
  /** A piece of an export. After the last one the task is over. */
  | { kind: 'piece'; bytes: Uint8Array<ArrayBuffer>; isLast: boolean }
  /** The task has failed, and its slot is removed. */
  | { kind: 'failed'; fault: FaultData; stack: string | undefined }
  /** The task is over but for trees that it removes, for which it needs no lock. */
  | { kind: 'tidied' }
  /** The task and its house-keeping are over: the thread can take another one. */
  | { kind: 'done' }
  | { kind: 'event'; event: EventBody }
  | { kind: 'complaint'; fault: FaultData; stack: string | undefined };
/**
 * Each message names its task. A thread that has ended a task may still get an abort for it, and a late message of an old
 * task must not be taken for an answer to the next one.
 */
export type Envelope<M> = { task: number; message: M };
