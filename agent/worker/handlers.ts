/**
 * The calls that a thread answers: the methods that work on the disk, by their names in the table, and the steps from
 * which the main thread composes its own work. A method without a handler does not compile.
 */
import type * as z from 'zod';

import { installedSchema } from '../../shared/api/plugin.ts';
import {
  isMethod,
  type MethodName,
  type Methods,
  methods,
  type MethodsOf,
  type Params,
  type Result,
} from '../../shared/api/methods.ts';
import type { CheckFound, RootCheck } from '../../shared/api/doctor.ts';
import type { Recovered, Status } from '../../shared/api/maintenance.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import { classifyLoaded, reloadOf } from '../../shared/rule/classify.ts';
import { truncate } from '../../shared/truncate.ts';
import type { Admission, Installed as Files, Known } from '../../watch/ports.ts';
import { adoptTouched } from '../change/adopt.ts';
import { adopt } from '../change/adopt-request.ts';
import { type FailureContent, noteFailure } from '../change/note-history.ts';
import { recover } from '../change/recover.ts';
import { rollback } from '../change/rollback.ts';
import type { Change } from '../change/transaction.ts';
import {
  type LiveVersion,
  liveVersions,
  noteBegun,
  noteLoaded,
  pendingPlugins,
  promisedPlugins,
} from '../change/runtime-reports.ts';
import {
  type SweepPlan,
  type SweptPlugin,
  expiredHistories,
  forgetBefore,
  isNothing,
  planSweep,
  removeHistory,
  settleUnsynced,
  sweepDrafts,
  sweepPlugin,
} from '../change/sweep.ts';
import { uninstall } from '../change/uninstall.ts';
import { nodeDisk } from '../disk/node-disk.ts';
import { putRecord } from '../disk/record.ts';
import { thisSystem } from '../disk/system.ts';
import type { Durability, StoreContext } from '../store/context.ts';
import { checkOfRoot } from '../store/doctor/root-checks.ts';
import { noteOperation } from '../store/history.ts';
import { showHistory } from '../store/show-history.ts';
import { admissionOf, getPlugin, knownOf, listPlugins, verifyPlugin } from '../store/inspect.ts';
import { liveVersionOf } from '../store/marker.ts';
import { discardSlot } from '../store/journal.ts';
import { loadedBasis, takenGeneration } from '../store/runtime-state.ts';
import {
  type OperationRequest,
  answerBefore,
  forgetOperations,
  once,
  questionOf,
  recall,
  remember,
} from '../store/operation-log.ts';
import { planInstall } from '../store/plan.ts';
import { planReconcile } from '../store/reconcile.ts';
import { receiptOf } from '../store/records.ts';
import type { RootMeasure } from '../metrics/facts.ts';
import type { Overview } from '../page/facts.ts';
import { countPlugins, measureRoot } from './measure.ts';
import { overviewOf } from './overview.ts';
import type { Source } from './source.ts';
import { changeState, listTroubles } from '../store/state.ts';

/** An answer whose rest, if there is any, comes on a stream. The session that opens the stream sets `stream`. */
export type Streamed<R> = {
  answer: R extends unknown ? Omit<R, 'stream'> : never;
  /** One JSON line each, or bytes as they are, or the pieces of a download. */
  lines: readonly object[] | Uint8Array | Source | undefined;
};
/** The methods that a thread executes. */
export type ThreadMethod = MethodsOf<'query' | 'changes-plugin'>;
export type Reply<M extends MethodName> = Methods[M]['streams'] extends true
  ? Streamed<Result<M>>
  : Result<M>;

/** Changes that are transactions: they remember their answer themselves, before their house-keeping. */
const transactions = { 'plugin.rollback': rollback, 'plugin.uninstall': uninstall, 'plugin.adopt': adopt };

type MethodHandlers = {
  [M in Exclude<ThreadMethod, keyof typeof transactions>]: (
    context: StoreContext,
    params: Params<M>,
    by: string,
  ) => Reply<M>;
};

const methodHandlers: MethodHandlers = {
  'plugin.list': (context, { all, ...gate }) => {
    const plugins = listPlugins(context, gate);
    const first = truncate(plugins);
    return {
      answer: { plugins: first },
      lines: all === true && first.items.length < first.total ? plugins : undefined,
    };
  },
  'plugin.get': (context, { plugin }) => {
    const found = getPlugin(context, plugin);
    if (found === undefined) {
      throw new Fault('NOT_FOUND', `There is no plugin "${plugin}" here`, {
        hint: 'List the plugins with plugin.list',
      });
    }
    return found;
  },
  'plugin.history': (context, params) => showHistory(context, params),
  'plugin.verify': (context, { plugin }) => verifyPlugin(context, plugin),
  'plugin.classify': (context, { plugin, list, hotReload }) => {
    const { ignore } = context;
    return {
      reload: reloadOf(classifyLoaded(loadedBasis(context, plugin), list, { hotReload, ignore }), false),
    };
  },
  'plugin.files': (context, { plugin }) => {
    const basis = loadedBasis(context, plugin);
    const generation = takenGeneration(context, plugin, liveVersionOf(context, plugin));
    if (basis.kind === 'unknown') {
      return { answer: { plugin, kind: basis.kind, why: basis.why, generation }, lines: undefined };
    }
    const edited = basis.edited.map((path) => ({ edited: path }));
    return {
      answer: { plugin, kind: basis.kind, generation, ignore: [...context.policy.ignore] },
      lines: [...basis.list, ...edited],
    };
  },
  'install.plan': planInstall,
  'plugin.hold': (context, { plugin, operationId, why, release }, by) => {
    if (release === true && why !== undefined) {
      throw new Fault(
        'INVALID_PARAMS',
        `The request gives a reason to hold "${plugin}" and also releases it`,
        {
          hint: 'Leave out the reason, or leave out the release',
        },
      );
    }
    const held = release === true ? undefined : (why ?? 'no reason was given');
    const { held: now = null } = changeState(context, plugin, (state) => ({ ...state, held }));
    const op = release === true ? 'release' : 'hold';
    noteOperation(context, plugin, () => ({ op, operationId, by, why, outcome: 'done' }));
    return { plugin, held: now };
  },
  'plugin.disable': (context, { plugin, operationId, disabled }, by) => {
    changeState(context, plugin, (state) => ({ ...state, disabled: disabled ? true : undefined }));
    noteOperation(context, plugin, () => ({
      op: disabled ? 'disable' : 'enable',
      operationId,
      by,
      outcome: 'done',
    }));
    return { plugin, disabled };
  },
};

type Asked = OperationRequest<object>['params'];

const steps = {
  /** Removes the slot of an install whose thread crashed before it changed live. */
  'slot.discard': (context: StoreContext, { plugin, stamp }: { plugin: string; stamp: string }): void =>
    discardSlot(context, plugin, stamp),
  /** Finishes or undoes what a crash has left of one plugin, then adopts what an operator has touched. */
  'plugin.recover': (context: StoreContext, { plugin }: { plugin: string }): Recovered[] => {
    const recovered = recover(context, plugin);
    try {
      adoptTouched(context, plugin);
    } catch (error) {
      context.complain(toFault(error, `Adopting "${plugin}"`));
    }
    return recovered;
  },
  /** What there is to sweep for one plugin; undefined: nothing. It may take long, and needs no lock. */
  'plugin.plan': (context: StoreContext, { plugin }: { plugin: string }): SweepPlan | undefined => {
    const plan = planSweep(context, plugin);
    return isNothing(plan) ? undefined : plan;
  },
  'plugin.sweep': (
    context: StoreContext,
    { plugin, plan }: { plugin: string; plan: SweepPlan },
  ): SweptPlugin => sweepPlugin(context, plugin, plan),
  'operations.forget': (context: StoreContext): number => {
    sweepDrafts(context);
    return forgetOperations(context, forgetBefore(context));
  },
  /** Notes an operation that was refused or has failed. */
  'history.failed': (context: StoreContext, failed: FailureContent): void => noteFailure(context, failed),
  /** Of plugins of which nothing is left but their histories, those whose history is too old or one too many. */
  'history.expired': (context: StoreContext, { plugins }: { plugins: string[] }): string[] =>
    expiredHistories(context, plugins),
  /** Removes the history of a plugin, if nothing else is left of it. */
  'history.remove': (context: StoreContext, { plugin }: { plugin: string }): boolean =>
    removeHistory(context, plugin),
  /** The answer of an install or rollback, by its id, and by the digest of the request if that is known. */
  'operations.installed': (
    context: StoreContext,
    { operationId, question }: { operationId: string; question?: string },
  ): Result<'install.commit'> | undefined => recall(context, operationId, question, installedSchema),
  /**
   * Checks what a restart of the machine has damaged, and notes whether this agent writes with syncs. The note itself is
   * always synced.
   */
  'root.settle': (context: StoreContext, { durability }: { durability: Durability }): string[] =>
    settleUnsynced({ ...context, disk: nodeDisk }, durability),
  /** Remembers which bundle of the image was installed last; always synced. */
  'boot.remember': ({ layout }: StoreContext, { plugin, bundle }: { plugin: string; bundle: string }): void =>
    putRecord(nodeDisk, layout.staging, plugin, layout.bootOf(plugin), { version: 1, bundle }),
  /** What differs from what is declared. */
  'root.compare': planReconcile,
  /** The numbers of plugins by status. */
  'root.status': (
    context: StoreContext,
    { quick }: Params<'status'>,
  ): Pick<Status, 'plugins' | 'troubles'> => ({
    plugins: countPlugins(context, quick !== true),
    troubles: truncate(listTroubles(context)),
  }),
  /** What the metrics say of the disk. */
  'root.measure': (context: StoreContext): RootMeasure => measureRoot(context),
  /** What the status page says of the disk. */
  'root.overview': (context: StoreContext): Overview => overviewOf(context),
  /** One check of the root. */
  'root.check': (
    context: StoreContext,
    { check, durability, busy }: { check: RootCheck; durability: Durability; busy: readonly string[] },
  ): CheckFound[] => checkOfRoot(check, { context, system: thisSystem, durability }, busy),
  /** The decision of the gate on a name. */
  'watch.admission': (context: StoreContext, { plugin }: { plugin: string }): Admission =>
    admissionOf(context, plugin),
  /** A version as it was installed; undefined if that is not known. */
  'watch.installed': (
    context: StoreContext,
    { plugin, installId }: { plugin: string; installId: string },
  ): Files | undefined => {
    const receipt = receiptOf(context, plugin, installId);
    return receipt && { files: receipt.list, at: Date.parse(receipt.installedAt) };
  },
  /** What is known about the loaded version of a plugin; undefined if it is the same as for that stamp. */
  'watch.known': (
    context: StoreContext,
    { plugin, generation, stamp }: { plugin: string; generation: string; stamp: string | undefined },
  ): Known | undefined => knownOf(context, plugin, generation, stamp),
  /** The versions that were live at a time. */
  'runtime.live': (
    context: StoreContext,
    { at, swaps }: { at: number; swaps: Record<string, number> },
  ): LiveVersion[] => liveVersions(context, at, swaps),
  'runtime.loaded': (
    context: StoreContext,
    { version, began, cause }: { version: LiveVersion; began: number; cause: string },
  ): void => noteLoaded(context, version, began, cause),
  /** The plugins that wait for a restart. */
  'runtime.pending': (context: StoreContext): string[] => pendingPlugins(context),
  /** The plugins with a promised restart that has not ended well. */
  'runtime.promised': (context: StoreContext): string[] => promisedPlugins(context),
  /** A restart begins. For changes that were promised before a time it is the last try. */
  'runtime.begins': (context: StoreContext, { plugin, before }: { plugin: string; before: number }): void =>
    noteBegun(context, plugin, before),
  /** The answer of a method that changes the root to this operation id; undefined: none yet. */
  'operations.recall': (context: StoreContext, { method, params }: RootChange): object | undefined =>
    answerBefore(context, askedOf(method, params)),
  'operations.remember': (
    context: StoreContext,
    { method, params, answer }: RootChange & { answer: object },
  ): void => remember(context, params.operationId, questionTo(method, params), answer, ''),
};

type RootChange = { method: MethodsOf<'changes-root'>; params: Asked };

const resultOf = (method: MethodName): z.ZodType<object> => methods[method].result;

/** Identifies a request, so that a repeated one gets the same answer: the last word of the method, and its parameters. */
const questionTo = (method: MethodName, params: Asked): string =>
  questionOf({ ...params, op: method.slice(method.lastIndexOf('.') + 1) });

const handlers = { ...steps, ...methodHandlers };
type Handlers = typeof handlers & typeof transactions;

/** The name of a handler. */
export type HandlerName = keyof Handlers;
/** Its parameters. */
export type Request<N extends HandlerName> = N extends ThreadMethod ? Params<N> : Parameters<Handlers[N]>[1];
/** Its answer. */
export type Response<N extends HandlerName> = N extends ThreadMethod ? Reply<N> : ReturnType<Handlers[N]>;

/**
 * Runs a handler.
 *
 * @param by the label of the caller. @returns the answer, and the house-keeping after it; a promise only where a command of
 *   the owner has to end.
 */
export function handle(
  context: StoreContext,
  name: HandlerName,
  params: unknown,
  by: string,
): Change<unknown> | Promise<Change<unknown>> {
  if (Object.hasOwn(transactions, name)) {
    // The name selects the parameters, which the compiler cannot derive from a table.
    const transaction = transactions[name as keyof typeof transactions] as AnyTransaction;
    return transaction(context, params, by);
  }
  const handler = handlers[name as keyof typeof handlers] as AnyHandler;
  const make = (): unknown => handler(context, params, by);
  const answer = isChange(name)
    ? once(context, askedOf(name, params as Asked), () => Object(make()) as object)
    : make();
  return { answer, collect: () => undefined };
}

type AnyHandler = (context: StoreContext, params: unknown, by: string) => unknown;
type AnyTransaction = (
  context: StoreContext,
  params: unknown,
  by: string,
) => Change<unknown> | Promise<Change<unknown>>;

const isChange = (name: HandlerName): name is MethodsOf<'changes-plugin'> =>
  isMethod(name) && methods[name].effect === 'changes-plugin';

const askedOf = (method: MethodName, params: Asked): OperationRequest<object> => ({
  params,
  question: questionTo(method, params),
  answer: resultOf(method),
});
