/**
 * What can be asked of an agent: for each method its parameters, its result and the scope that a token needs.
 * Unknown fields of a request are refused, for an old agent must not overlook an `expect`; those of a result are
 * ignored.
 */
import * as z from 'zod';

import { refusalReasons } from '../rule/admission.ts';
import { reloadSchema } from '../rule/classify.ts';
import { faultDataSchema } from './fault.ts';
import {
  digestSchema,
  operationIdSchema,
  pluginNameSchema,
  sha256Schema,
  stampSchema,
} from '../format/name.ts';
import { markerSchema } from '../format/marker.ts';
import { schemaErrorOf } from '../schema-error.ts';
import { truncatedSchema } from '../truncate.ts';
import { PROTOCOL } from './rpc.ts';
import { recoveryResultSchema, statusSchema, sweptSchema } from './maintenance.ts';
import { eventTypes } from './events.ts';
import { pendingSchema } from '../format/state.ts';
import { basisSchema, classifyParams, restartedParams, restartedSchema } from './loading.ts';

/** A place in the stream of events: which run of the agent, and how far. */
export const positionSchema = z.strictObject({ bootId: z.string(), seq: z.number().int().nonnegative() });

/** The agent's first words on a connection. */
export const helloSchema = z.object({
  /** The agent's version. */
  agent: z.string(),
  /** The workspace's id, where the agent was told one. */
  workspace: z.string().nullable(),
  runtime: z.string().nullable(),
  /** Another one after each start of the agent. */
  bootId: z.string(),
  protocol: z.literal(PROTOCOL),
  capabilities: z.array(z.string()),
  limits: z.object({
    frameBytes: z.number(),
    windowBytes: z.number(),
    requestsInFlight: z.number(),
    streamsInFlight: z.number(),
    packedBytes: z.number(),
    unpackedBytes: z.number(),
    entries: z.number(),
  }),
});
export type Hello = z.infer<typeof helloSchema>;

/** Grants the sender of a stream bytes up to `limit` (exclusive), and says that those before `offset` are taken in. */
export const windowSchema = z.strictObject({
  stream: z.number().int().nonnegative(),
  offset: z.number().int().nonnegative(),
  limit: z.number().int().nonnegative(),
});
export type Window = z.infer<typeof windowSchema>;

/** The stream has failed: nothing more is taken in, and the commit will answer with the same error. */
export const resetSchema = z.object({ stream: z.number().int(), error: faultDataSchema });
export type Reset = z.infer<typeof resetSchema>;

/** The answer to an install: what the marker says, what is to be done about it, what was left out. */
export const installedSchema = markerSchema.omit({ version: true }).extend({
  status: z.enum(['installed', 'present', 'rolled-back']),
  reload: reloadSchema,
  warnings: truncatedSchema(z.string()),
});
export type Installed = z.infer<typeof installedSchema>;

const beginParams = z.strictObject({
  operationId: operationIdSchema,
  plugin: pluginNameSchema,
  bundle: z.strictObject({ size: z.number().int().positive(), sha256: sha256Schema }),
  /** The tree digest, where it is known: an install of a tree that is live needs no bytes. */
  tree: digestSchema.optional(),
  source: z.string().max(1024).optional(),
  /** Refused with CONFLICT unless this is live: an installId, or null for nothing. */
  expect: z.strictObject({ installId: stampSchema.nullable() }).optional(),
  /** The digest that the manifest file must have. */
  pin: digestSchema.optional(),
  /** What to do about links in the archive: leave them out with a warning, or refuse the archive. */
  links: z.enum(['skip', 'refuse']).optional(),
  /** `false`: the caller does not want a restart, whatever changed. */
  restart: z.boolean().optional(),
  /** Install also what is there already, or held. */
  force: z.boolean().optional(),
});
export type BeginParams = z.infer<typeof beginParams>;

const expectation = z.strictObject({ installId: stampSchema.nullable() });

const rollbackParams = z.strictObject({
  operationId: operationIdSchema,
  plugin: pluginNameSchema,
  /** Which version is to come back, by its installId; absent: the one that was live before. */
  to: stampSchema.optional(),
  /** Refused with CONFLICT unless this is live. */
  expect: expectation.optional(),
  /** `false`: the caller does not want a restart. */
  restart: z.boolean().optional(),
  /** Also where the plugin is held, and to a version without a marker. */
  force: z.boolean().optional(),
});
export type RollbackParams = z.infer<typeof rollbackParams>;

const uninstallParams = z.strictObject({
  operationId: operationIdSchema,
  plugin: pluginNameSchema,
  /** Refused with CONFLICT unless this is live. */
  expect: expectation.optional(),
  /** Also remove what the plugin has written for itself. */
  purge: z.boolean().optional(),
  /** `false`: the caller does not want a restart. */
  restart: z.boolean().optional(),
  /** Also where the plugin is held. */
  force: z.boolean().optional(),
});
export type UninstallParams = z.infer<typeof uninstallParams>;

/** The answer to an uninstall. */
export const uninstalledSchema = z.object({
  plugin: z.string(),
  /** `absent`: there was nothing to remove. */
  status: z.enum(['removed', 'absent']),
  /** What was removed; null for a version without an id. It is kept as a snapshot, so a rollback brings it back. */
  installId: z.string().nullable(),
  purged: z.boolean(),
  reload: reloadSchema,
});
export type Uninstalled = z.infer<typeof uninstalledSchema>;

/** Where the bytes of a bundle are to go. */
const opened = z.object({
  status: z.literal('open'),
  stream: z.number().int(),
  /** Taken in already: the sender goes on from here. */
  offset: z.number().int(),
  limit: z.number().int(),
});
const operation = z.strictObject({ operationId: operationIdSchema });
const one = z.strictObject({ plugin: pluginNameSchema });

/** One plugin as the agent sees it. */
export const pluginSchema = z.object({
  name: z.string(),
  /** `absent`: nothing is live under this name, but it may still be loaded, or something is left to an operator. */
  status: z.enum(['admitted', 'refused', 'absent']),
  level: z.enum(['verified', 'unverified', 'unmarked']).optional(),
  reason: z.enum(refusalReasons).optional(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  version: z.string().optional(),
  description: z.string().optional(),
  /** Something that only an operator can put right: what happened and what to do. */
  trouble: z.object({ what: z.string(), todo: z.string() }).optional(),
  /** Files that were edited, added or removed in place, as far as sizes, modes and times show; absent: none. */
  drift: z.number().int().optional(),
  /** The generation that the runtime says it has loaded. */
  loaded: z.string().optional(),
  /** A change that waits for a restart. */
  pending: pendingSchema.optional(),
  kind: z.string().optional(),
  installId: z.string().optional(),
  bundle: z.string().optional(),
  tree: z.string().optional(),
  files: z.number().optional(),
  bytes: z.number().optional(),
  installedAt: z.string().optional(),
  source: z.string().optional(),
  by: z.string().optional(),
  replaced: z.string().nullable().optional(),
});
export type PluginInfo = z.infer<typeof pluginSchema>;

/** Whether a plugin is what was installed. `unknown`: there is no receipt to compare it with. */
export const verificationSchema = z.object({
  plugin: z.string(),
  verdict: z.enum(['intact', 'drifted', 'unknown', 'refused']),
  detail: z.string().optional(),
  hint: z.string().optional(),
  installId: z.string().optional(),
  /** The tree digest of what lies there now. */
  tree: z.string().optional(),
  modified: truncatedSchema(z.string()),
  missing: truncatedSchema(z.string()),
  unlisted: truncatedSchema(z.string()),
});
export type Verification = z.infer<typeof verificationSchema>;

/** Every method of this agent. */
export const methods = {
  'session.start': {
    scope: 'read',
    params: z.strictObject({
      /** Who is calling, in words for the log. */
      client: z.string().max(256),
      /** Which events to send. */
      events: z.union([z.literal('all'), z.array(z.enum(eventTypes))]),
      /** The last event that was seen: what came after it is sent first, or a snapshot where that is gone. */
      resume: positionSchema.optional(),
    }),
    /** `at` is the newest event so far: what comes over this connection begins after it, or after `resume`. */
    result: z.object({ at: positionSchema, resumed: z.boolean() }),
  },
  'install.begin': {
    scope: 'write',
    params: beginParams,
    result: z.union([installedSchema, opened]),
  },
  'install.commit': { scope: 'write', params: operation, result: installedSchema },
  'install.abort': { scope: 'write', params: operation, result: z.object({ aborted: z.boolean() }) },
  'plugin.list': {
    scope: 'read',
    params: z.strictObject({
      /** Also send the whole list, as JSON lines on a stream, where it is longer than an answer holds. */
      all: z.boolean().optional(),
    }),
    result: z.object({ plugins: truncatedSchema(pluginSchema), stream: z.number().int().optional() }),
  },
  'plugin.get': { scope: 'read', params: one, result: pluginSchema },
  'plugin.verify': { scope: 'read', params: one, result: verificationSchema },
  'plugin.rollback': { scope: 'write', params: rollbackParams, result: installedSchema },
  'plugin.uninstall': { scope: 'write', params: uninstallParams, result: uninstalledSchema },
  'plugin.classify': { scope: 'read', params: classifyParams, result: z.object({ reload: reloadSchema }) },
  'plugin.files': { scope: 'read', params: one, result: basisSchema },
  'runtime.restarted': { scope: 'write', params: restartedParams, result: restartedSchema },
  recover: {
    scope: 'write',
    params: z.strictObject({
      operationId: operationIdSchema,
      /** Absent: every plugin that an operation has left half-way. */
      plugin: pluginNameSchema.optional(),
    }),
    result: recoveryResultSchema,
  },
  sweep: { scope: 'write', params: operation, result: sweptSchema },
  status: { scope: 'read', params: z.strictObject({}), result: statusSchema },
} as const satisfies Record<string, { scope: 'read' | 'write'; params: z.ZodType; result: z.ZodType }>;

export type Methods = typeof methods;
export type MethodName = keyof Methods;
export type Params<M extends MethodName> = z.infer<Methods[M]['params']>;
export type Result<M extends MethodName> = z.infer<Methods[M]['result']>;

export const isMethod = (name: string): name is MethodName => Object.hasOwn(methods, name);

export type ParamsReading<M extends MethodName> =
  | { ok: true; params: Params<M> }
  | { ok: false; why: string };

/** Reads the parameters of a request; absent ones count as none. */
export function readParams<M extends MethodName>(method: M, params: unknown): ParamsReading<M> {
  const schema: z.ZodType = methods[method].params;
  const parsed = schema.safeParse(params ?? {});
  if (!parsed.success) {
    return { ok: false, why: schemaErrorOf(parsed.error) };
  }
  // The schema is this method's own, which the compiler cannot follow through the table.
  return { ok: true, params: parsed.data as Params<M> };
}
