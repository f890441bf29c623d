/** What the main thread and an engine thread say to each other. */
import type { Basis } from '../../shared/rule/classify.ts';
import type { EventBody } from '../../shared/api/events.ts';
import type { FaultData } from '../../shared/api/fault.ts';
import type { Intent } from '../../shared/format/intent.ts';
import type { Restarted, RestartedParams } from '../../shared/api/loading.ts';
import type {
  BeginParams,
  Installed,
  PluginInfo,
  RollbackParams,
  Uninstalled,
  UninstallParams,
  Verification,
} from '../../shared/api/methods.ts';
import type { Admission, Installed as Files, Known } from '../../watch/ports.ts';
import type { Recovered, Status } from '../../shared/api/maintenance.ts';
import type { Durability, InstallPolicy } from '../store/context.ts';
import type { LiveVersion } from '../change/runtime-reports.ts';
import type { SweptPlugin } from '../change/sweep.ts';

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

/** A task that takes one message, and has one answer. */
export type Task =
  | { kind: 'discard'; plugin: string; stamp: string }
  | { kind: 'recover'; plugin: string }
  | { kind: 'sweep'; plugin: string }
  | { kind: 'forget' }
  | { kind: 'rollback'; params: RollbackParams; by: string }
  | { kind: 'uninstall'; params: UninstallParams; by: string }
  | { kind: 'recall'; operationId: string }
  | { kind: 'troubles' }
  /** What is taken to be loaded of a plugin. */
  | { kind: 'basis'; plugin: string }
  /** What a watcher asks. */
  | { kind: 'admission'; plugin: string }
  | { kind: 'installed-files'; plugin: string; installId: string }
  | { kind: 'known-loaded'; plugin: string; generation: string; stamp: string | undefined }
  /** Which versions were live at a moment. */
  | { kind: 'live'; at: number; swaps: Record<string, number> }
  | { kind: 'loaded'; version: LiveVersion; began: number; cause: string }
  /** Which plugins wait for a restart. */
  | { kind: 'pending' }
  /** Of which plugins a restart was promised that never ended well. */
  | { kind: 'promised' }
  /** What was promised before a moment is tried for the last time. */
  | { kind: 'restart-begins'; plugin: string; before: number }
  | { kind: 'restart-asked'; params: RestartedParams }
  | { kind: 'restart-answered'; params: RestartedParams; answer: Restarted }
  | { kind: 'list' }
  | { kind: 'get'; plugin: string }
  | { kind: 'verify'; plugin: string };

export type Answer =
  | { kind: 'discarded' }
  | { kind: 'names'; plugins: string[] }
  | { kind: 'recovered'; recovered: Recovered[] }
  | { kind: 'swept'; swept: SweptPlugin }
  | { kind: 'forgotten'; operations: number }
  | { kind: 'rolled-back'; answer: Installed }
  | { kind: 'uninstalled'; answer: Uninstalled }
  | { kind: 'recalled'; answer: Installed | undefined }
  | { kind: 'troubled'; troubles: Status['troubles']['items'] }
  | { kind: 'basis-found'; basis: Basis; generation: string | null }
  | { kind: 'admission-found'; admission: Admission }
  | { kind: 'files-found'; installed: Files | undefined }
  | { kind: 'known-found'; known: Known | undefined }
  | { kind: 'live-versions'; versions: LiveVersion[] }
  | { kind: 'noted' }
  | { kind: 'restart-known'; answer: Restarted | undefined }
  | { kind: 'listed'; plugins: PluginInfo[] }
  | { kind: 'got'; plugin: PluginInfo | undefined }
  | { kind: 'verified'; verification: Verification };

/** An install takes begin, data, commit, install. */
type ToInstall =
  | { kind: 'begin'; params: BeginParams; by: string }
  | { kind: 'data'; bytes: Uint8Array }
  | { kind: 'commit' }
  | { kind: 'install' }
  | { kind: 'abort' };
export type ToEngine = Task | ToInstall;

const INSTALL: ReadonlySet<string> = new Set([
  'begin',
  'data',
  'commit',
  'install',
  'abort',
] satisfies ToInstall['kind'][]);

export const isTask = (message: ToEngine): message is Task => !INSTALL.has(message.kind);

type Said =
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
export type FromEngine = Answer | Said;

const SAID: ReadonlySet<string> = new Set([
  'settled',
  'opened',
  'taken',
  'validated',
  'installed',
  'failed',
  'done',
  'event',
  'complaint',
] satisfies Said['kind'][]);

export const isAnswer = (message: FromEngine): message is Answer => !SAID.has(message.kind);

/**
 * Each message names the task that it belongs to: a thread that has ended a task may still be told to abort it, and
 * what it says of an old task must not be taken for an answer to the next.
 */
export type Envelope<M> = { task: number; message: M };
