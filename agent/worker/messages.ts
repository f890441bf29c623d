/** What the main thread and an engine thread say to each other. */
import type { EventBody } from '../../shared/events.ts';
import type { FaultData } from '../../shared/fault.ts';
import type { Intent } from '../../shared/intent.ts';
import type { BeginParams, Installed, PluginInfo, Verification } from '../../shared/methods.ts';
import type { Durability, InstallPolicy } from '../install/ground.ts';
import type { Recovered } from '../install/recover.ts';

/** Marks a thread as an engine: the bundle is one file, which looks at this to know what it is to be. */
export const ENGINE = 'airlock-engine';

/** What an engine thread is started with. */
export type EngineData = {
  kind: typeof ENGINE;
  root: string;
  policy: InstallPolicy;
  durability: Durability;
  owner: Intent['owner'];
};

/** An install takes begin, data, commit, install; each of the others is a task of its own. */
export type ToEngine =
  /** `alone`: nobody else works on the plugin here, so what a crash has left of it is cleared away first. */
  | { kind: 'begin'; params: BeginParams; by: string; alone: boolean }
  | { kind: 'data'; bytes: Uint8Array }
  | { kind: 'commit' }
  | { kind: 'install' }
  | { kind: 'abort' }
  | { kind: 'discard'; plugin: string; stamp: string }
  | { kind: 'recover' }
  | { kind: 'recall'; operationId: string }
  | { kind: 'list' }
  | { kind: 'get'; plugin: string }
  | { kind: 'verify'; plugin: string };

export type FromEngine =
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
  | { kind: 'recovered'; recovered: Recovered[] }
  | { kind: 'recalled'; answer: Installed | undefined }
  | { kind: 'listed'; plugins: PluginInfo[] }
  | { kind: 'got'; plugin: PluginInfo | undefined }
  | { kind: 'verified'; verification: Verification }
  | { kind: 'event'; event: EventBody }
  | { kind: 'complaint'; fault: FaultData; stack: string | undefined };

/**
 * Each message names the task that it belongs to: a thread that has ended a task may still be told to abort it, and
 * what it says of an old task must not be taken for an answer to the next.
 */
export type Envelope<M> = { task: number; message: M };
