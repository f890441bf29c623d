/**
 * The table of methods: parameters, result, and the scope that a token needs. Unknown fields of a request are refused,
 * because an old agent must not overlook an `expect`. Unknown fields of a result are ignored.
 */
import * as z from 'zod';

import { digestSchema, pluginNameSchema, sha256Schema, stampSchema } from '../format/name.ts';
import { reloadSchema } from '../rule/classify.ts';
import { schemaErrorOf } from '../schema-error.ts';
import { truncatedSchema } from '../truncate.ts';
import { diagnosisSchema } from './doctor.ts';
import { eventTypes } from './events.ts';
import { Fault } from './fault.ts';
import { historyResultSchema } from './history.ts';
import { basisSchema, classifyParams, restartedSchema } from './runtime.ts';
import { recoveryResultSchema, statusParams, statusSchema, sweptSchema } from './maintenance.ts';
import {
  deltaParams,
  expect,
  force,
  opened,
  plannedSchema,
  restart,
  unpackedBytes,
  wishes,
} from './install.ts';
import { type Effect, isReadEffect, method } from './method.ts';
import {
  adoptedSchema,
  exportedSchema,
  installedSchema,
  pluginSchema,
  uninstalledSchema,
  verificationSchema,
} from './plugin.ts';
import { reconciledSchema, reconcileParams } from './reconcile.ts';
import { positionSchema } from './session.ts';

const one = { plugin: pluginNameSchema };

/** All methods of this agent, one row each. Everything that depends on a method reads it from here. */
export const methods = {
  'session.start': method({
    summary: 'Start the session: say who calls and which events to send',
    effect: 'session',
    params: {
      /** The name of the client, for the log. */
      client: z.string().max(256),
      /** Which events to send. */
      events: z.union([z.literal('all'), z.array(z.enum(eventTypes))]),
      /** The last event that the client has seen. The events after it are sent first, or a snapshot if they are gone. */
      resume: positionSchema.optional(),
    },
    /** `at` is the newest event so far. The events of this connection begin after it, or after `resume`. */
    result: z.object({ at: positionSchema, resumed: z.boolean() }),
    faults: ['CONFLICT'],
  }),
  'install.plan': method({
    summary: 'Say which files of a plugin are on the disk of the agent, so that an update need not send them',
    effect: 'query',
    streams: true,
    params: {
      ...one,
      /** Also say what counts as loaded, so that the caller can judge a new version. The agent looks at every live file for it. */
      loaded: z.boolean().optional(),
    },
    result: plannedSchema,
    faults: ['RATE_LIMITED'],
  }),
  'install.begin': method({
    summary: 'Begin an install, or continue one whose connection broke',
    effect: 'upload',
    params: {
      plugin: pluginNameSchema,
      bundle: z.strictObject({ size: z.number().int().positive(), sha256: sha256Schema }),
      source: z.string().max(1024).optional(),
      ...wishes,
      /** The bytes that are sent, if they are not the whole bundle. It needs the tree. */
      delta: deltaParams.optional(),
      unpacked: unpackedBytes,
    },
    result: z.union([installedSchema, opened]),
    faults: [
      'CONFLICT',
      'HELD',
      'TOO_LARGE',
      'NO_SPACE',
      'RATE_LIMITED',
      'LOCKED',
      'RUNTIME_EXTERNAL',
      'DRAINING',
    ],
  }),
  'install.commit': method({
    summary: 'Install what was uploaded; the answer comes when it is durable and verified',
    effect: 'upload',
    params: {},
    result: installedSchema,
    faults: [
      'NOT_FOUND',
      'CONFLICT',
      'SWAP_FAILED',
      'ROLLBACK_FAILED',
      'MARKER_FAILED',
      'NO_SPACE',
      'DEADLINE',
    ],
  }),
  'install.abort': method({
    summary: 'Abort an install that has not been swapped in yet',
    effect: 'upload',
    params: {},
    result: z.object({ aborted: z.boolean() }),
    faults: [],
  }),
  'plugin.pull': method({
    summary: 'Fetch a bundle from a URL and install it',
    effect: 'upload',
    params: {
      ...one,
      /** `https://`, or `http://` on the loopback of the agent. */
      url: z.string().min(1).max(4096),
      /** The bundle, as far as it is known. With both fields the bytes are unpacked as they come, without both after all of them. */
      bundle: z
        .strictObject({ size: z.number().int().positive().optional(), sha256: sha256Schema })
        .optional()
        .describe('the sha256 that the bundle must have'),
      ...wishes,
    },
    result: installedSchema,
    faults: [
      'FORBIDDEN',
      'NOT_FOUND',
      'CONFLICT',
      'HELD',
      'TOO_LARGE',
      'DIGEST_MISMATCH',
      'RATE_LIMITED',
      'CANCELLED',
      'UNREACHABLE',
      'DEADLINE',
      'NO_SPACE',
      'LOCKED',
      'SWAP_FAILED',
      'ROLLBACK_FAILED',
      'MARKER_FAILED',
      'DRAINING',
    ],
    cli: [{ name: 'pull', arguments: ['plugin', 'url'] }],
  }),
  'plugin.list': method({
    summary: 'List the plugins',
    effect: 'query',
    streams: true,
    params: {
      /** Also send the whole list, as JSON lines on a stream, if it does not fit an answer. */
      all: z.boolean().optional(),
      /** The mode of the gate that decides; absent: `enforce`, which is the mode of the agent. */
      mode: z.enum(['enforce', 'warn']).optional().describe('warn also admits what has no marker'),
      /** How much the gate compares with what was installed; absent: `marker`, only the marker. */
      verify: z
        .enum(['marker', 'stat', 'digest'])
        .optional()
        .describe('how much is compared with what was installed'),
    },
    result: z.object({ plugins: truncatedSchema(pluginSchema), stream: z.number().int().optional() }),
    faults: ['RATE_LIMITED'],
  }),
  'plugin.get': method({
    summary: 'Show one plugin',
    effect: 'query',
    params: one,
    result: pluginSchema,
    faults: ['NOT_FOUND'],
  }),
  'plugin.verify': method({
    summary: 'Hash what is live and compare it with what was installed',
    effect: 'query',
    params: one,
    result: verificationSchema,
    faults: ['NOT_FOUND'],
  }),
  'plugin.history': method({
    summary: 'Show who did what to the plugins, when, and how it ended; or verify that history',
    effect: 'query',
    streams: true,
    params: {
      /** Absent: all plugins. */
      plugin: pluginNameSchema.optional(),
      /** How many of the newest lines; default: 100. Those that do not fit the answer come on a stream. */
      limit: z.number().int().min(1).max(10_000).optional().describe('how many of the newest lines'),
      /** Compare the lines with each other and with the disk. */
      verify: z.boolean().optional().describe('say whether the chain is whole and matches the disk'),
      /** Also verify that the line with this sha256 is still there. It needs a plugin. */
      head: digestSchema
        .optional()
        .describe('the sha256 of a line that was kept elsewhere: verify that it is still there'),
    },
    result: historyResultSchema,
    faults: ['NOT_FOUND', 'RATE_LIMITED'],
  }),
  'plugin.rollback': method({
    summary: 'Bring back the previous version or the named one, and remember the version that it replaces',
    effect: 'changes-plugin',
    params: {
      ...one,
      /** The installId of the version to bring back; absent: the version that was live before. */
      to: stampSchema.optional().describe('the installId of the version to bring back'),
      expect,
      restart,
      force: force.describe('even if the plugin is held or the version has no marker'),
    },
    result: installedSchema,
    faults: [
      'NOT_FOUND',
      'CONFLICT',
      'HELD',
      'LOCKED',
      'RUNTIME_EXTERNAL',
      'SWAP_FAILED',
      'ROLLBACK_FAILED',
      'DRAINING',
    ],
    cli: [{ name: 'rollback', arguments: ['plugin'] }],
  }),
  'plugin.uninstall': method({
    summary: 'Remove a plugin; it is kept as a snapshot for a while, and a rollback brings it back',
    effect: 'changes-plugin',
    params: {
      ...one,
      expect,
      /** Also remove the plugin's own data. */
      purge: z.boolean().optional().describe('also remove the data of the plugin'),
      restart,
      force,
    },
    result: uninstalledSchema,
    faults: ['CONFLICT', 'HELD', 'LOCKED', 'RUNTIME_EXTERNAL', 'SWAP_FAILED', 'ROLLBACK_FAILED', 'DRAINING'],
    cli: [{ name: 'uninstall', arguments: ['plugin'] }],
  }),
  'plugin.adopt': method({
    summary:
      'Give a live plugin without a full marker a full one, after the checks of an install; or plan it',
    effect: 'changes-plugin',
    params: {
      ...one,
      /** Only say what would be adopted and what prevents it. Nothing is changed, and no lock is taken. */
      plan: z.boolean().optional().describe('only say what would be adopted'),
      /** Refused with CONFLICT if the files have another tree digest. */
      tree: digestSchema.optional().describe('refuse unless the files have this tree digest'),
      force,
    },
    result: adoptedSchema,
    faults: [
      'NOT_FOUND',
      'CONFLICT',
      'HELD',
      'LOCKED',
      'RUNTIME_UNSUPPORTED',
      'PROBE_FAILED',
      'MARKER_FAILED',
      'NO_SPACE',
      'DRAINING',
    ],
    cli: [{ name: 'adopt', arguments: ['plugin'] }],
  }),
  'plugin.hold': method({
    summary: 'Refuse installs, rollbacks and removals of a plugin unless they are forced; or release it',
    effect: 'changes-plugin',
    params: {
      ...one,
      why: z.string().min(1).max(500).optional().describe('the reason, which a refused change shows'),
      /** Release the plugin, whoever has held it. */
      release: z.boolean().optional().describe('release the plugin: changes are accepted again'),
    },
    result: z.object({ plugin: z.string(), held: z.string().nullable() }),
    faults: ['LOCKED', 'DRAINING', 'NO_SPACE'],
    cli: [{ name: 'hold', arguments: ['plugin'] }],
  }),
  'plugin.disable': method({
    summary: 'Make the gate refuse a plugin, or admit it again',
    effect: 'changes-plugin',
    params: { ...one, disabled: z.boolean() },
    result: z.object({ plugin: z.string(), disabled: z.boolean() }),
    faults: ['LOCKED', 'DRAINING', 'NO_SPACE'],
    cli: [
      {
        name: 'disable',
        arguments: ['plugin'],
        sets: { disabled: true },
        summary: 'Make the gate refuse a plugin from the next scan on; its files stay',
      },
      {
        name: 'enable',
        arguments: ['plugin'],
        sets: { disabled: false },
        summary: 'Make the gate admit a disabled plugin again',
      },
    ],
  }),
  'plugin.classify': method({
    summary: 'Say what an install of these files would mean for the runtime',
    effect: 'query',
    params: classifyParams,
    result: z.object({ reload: reloadSchema }),
    faults: [],
  }),
  'plugin.files': method({
    summary: 'Send the files of the version of a plugin that counts as loaded',
    effect: 'query',
    streams: true,
    params: one,
    result: basisSchema,
    faults: ['RATE_LIMITED'],
  }),
  reconcile: method({
    summary: 'Compare the plugins that there are to be with those that are there; or make it so',
    effect: 'changes-root',
    streams: true,
    params: { ...reconcileParams, restart },
    result: z.object({ plugins: truncatedSchema(reconciledSchema), stream: z.number().int().optional() }),
    faults: ['CONFLICT', 'RATE_LIMITED', 'DRAINING'],
  }),
  'plugin.export': method({
    summary: 'Send an installed version as a .tgz; the same tree gives the same bytes',
    effect: 'download',
    streams: true,
    params: {
      ...one,
      /** The installId of a version, live or a snapshot; absent: what is live. */
      version: stampSchema.optional().describe('the installId of a version; default: what is live'),
      /** Send what is there, also if it was edited in place or nobody knows what was installed. */
      drifted: z
        .boolean()
        .optional()
        .describe('export what is there, also with files that were edited in place'),
    },
    result: exportedSchema,
    faults: ['NOT_FOUND', 'CONFLICT', 'DIGEST_MISMATCH', 'RATE_LIMITED', 'DRAINING'],
  }),
  'runtime.restarted': method({
    summary: 'Report a restart of the runtime: the versions that were live then count as loaded',
    effect: 'changes-root',
    params: {
      /** When the restart began, by the agent's clock; absent: now. */
      at: z.iso
        .datetime({ offset: true })
        .optional()
        .describe('when the restart began, such as 2026-05-08T14:15:30Z; default: now'),
    },
    result: restartedSchema,
    faults: ['LOCKED', 'READ_ONLY', 'NO_SPACE'],
    cli: [{ name: 'restarted', arguments: [] }],
  }),
  recover: method({
    summary: 'Finish or undo what a crash has left; skip plugins that are being changed',
    effect: 'changes-root',
    params: {
      /** Absent: every plugin with an interrupted operation. */
      plugin: pluginNameSchema.optional(),
    },
    result: recoveryResultSchema,
    faults: [],
    cli: [{ name: 'recover', arguments: ['plugin'] }],
  }),
  sweep: method({
    summary: 'Remove what is no longer needed: old snapshots, receipts, remembered answers',
    effect: 'changes-root',
    params: {},
    result: sweptSchema,
    faults: [],
    cli: [{ name: 'sweep', arguments: [] }],
  }),
  status: method({
    summary: 'Show how the root is used, which operations are running, and what an operator has to repair',
    effect: 'query-root',
    params: statusParams,
    result: statusSchema,
    faults: [],
    cli: [{ name: 'status', arguments: [] }],
  }),
  doctor: method({
    summary: 'Check the root and the agent, and say what is wrong and what to do',
    effect: 'query-root',
    params: {},
    result: diagnosisSchema,
    faults: [],
    cli: [{ name: 'doctor', arguments: [] }],
  }),
};

export type Methods = typeof methods;
export type MethodName = keyof Methods;
export type Params<M extends MethodName> = z.infer<Methods[M]['params']>;
export type Result<M extends MethodName> = z.infer<Methods[M]['result']>;
/** The methods of an effect. */
export type MethodsOf<E extends Effect> = {
  [M in MethodName]: Methods[M]['effect'] extends E ? M : never;
}[MethodName];

export type BeginParams = Params<'install.begin'>;
export type PlanParams = Params<'install.plan'>;
export type PullParams = Params<'plugin.pull'>;
export type RollbackParams = Params<'plugin.rollback'>;
export type UninstallParams = Params<'plugin.uninstall'>;
export type AdoptParams = Params<'plugin.adopt'>;
export type ExportParams = Params<'plugin.export'>;
export type ClassifyParams = Params<'plugin.classify'>;
export type ReconcileParams = Params<'reconcile'>;
export type RestartedParams = Params<'runtime.restarted'>;

export const isMethod = (name: string): name is MethodName => Object.hasOwn(methods, name);

/** The effect of a call. A plan changes nothing, so it is a query. */
export function effectOf(name: MethodName, params: unknown): Effect {
  const { effect, params: schema } = methods[name];
  const asked = typeof params === 'object' && params !== null ? params : {};
  const isPlan =
    ('plan' in schema.shape && 'plan' in asked && asked.plan === true) ||
    (name === 'reconcile' && 'mode' in asked && asked.mode === 'plan');
  return isPlan ? 'query' : effect;
}

/** Whether a token of scope `read` is enough. */
export const isRead = (name: MethodName, params?: unknown): boolean => isReadEffect(effectOf(name, params));

/** @throws Fault INVALID_PARAMS for parameters that the method does not accept; absent ones count as empty. */
export function readParams<M extends MethodName>(name: M, params: unknown): Params<M> {
  const schema: z.ZodType = methods[name].params;
  const parsed = schema.safeParse(params ?? {});
  if (!parsed.success) {
    throw new Fault(
      'INVALID_PARAMS',
      `The parameters of "${name}" are not valid: ${schemaErrorOf(parsed.error)}`,
      {
        hint: 'Correct the named fields; an unknown field may need a newer agent than this one, whose version is in the hello',
      },
    );
  }
  // The schema is that of this method, which the compiler cannot derive from the table.
  return parsed.data as Params<M>;
}
