/** The results of an agent's house-keeping, and its status. */
import * as z from 'zod';

import { faultDataSchema } from './fault.ts';
import { truncatedSchema } from '../truncate.ts';

/** What recovery did about one stamp of a plugin: the rows of its table, and why it stopped, if it did. */
const recoveredSchema = z.object({
  plugin: z.string(),
  stamp: z.string(),
  rows: z.array(z.number().int()),
  held: z.string().optional(),
});
export type Recovered = z.infer<typeof recoveredSchema>;

/** What the house-keeping removed or repaired. `busy`: plugins that were being changed, and were skipped. */
export const sweptSchema = z.object({
  recovered: truncatedSchema(recoveredSchema),
  snapshots: truncatedSchema(z.string()),
  receipts: truncatedSchema(z.string()),
  adopted: truncatedSchema(z.string()),
  /** The number of removed histories of plugins that are gone. An earlier agent does not say it. */
  histories: z.number().int().optional(),
  operations: z.number().int(),
  busy: truncatedSchema(z.string()),
  failed: truncatedSchema(z.object({ plugin: z.string(), error: faultDataSchema })),
});
export type Swept = z.infer<typeof sweptSchema>;

export const recoveryResultSchema = z.object({
  recovered: truncatedSchema(recoveredSchema),
  /** Plugins that were being changed, and were skipped. */
  busy: truncatedSchema(z.string()),
  failed: truncatedSchema(z.object({ plugin: z.string(), error: faultDataSchema })),
});
export type RecoveryResult = z.infer<typeof recoveryResultSchema>;

/** Whether edits by hand are reported, and the last problems. */
export const watchStatusSchema = z.object({
  /** `failed`: the watcher has failed and will be started again. */
  mode: z.enum(['off', 'starting', 'on', 'polling', 'failed']),
  notices: z.array(z.string()),
});
export type WatchStatus = z.infer<typeof watchStatusSchema>;

/** The state of the restart command of an agent, and the result of its last run. */
export const restartStatusSchema = z.object({
  /** `due`: it starts when the burst of changes is over. */
  state: z.enum(['idle', 'due', 'running']),
  /** Null until it has ended once since the start of the agent. */
  last: z
    .object({
      endedAt: z.iso.datetime(),
      /** False: the changes stay pending. */
      ok: z.boolean(),
      /** How it ended. Its output is only in the log, because it may be confidential. */
      how: z.string(),
    })
    .nullable(),
});
export type RestartStatus = z.infer<typeof restartStatusSchema>;

/** The connection of an agent to the platform to which it dials out. */
export const dialStatusSchema = z.object({
  url: z.string(),
  /** `waiting`: until the next try. */
  state: z.enum(['connecting', 'connected', 'waiting']),
  /** When this state began. */
  since: z.iso.datetime(),
  /** When it tries again; null if it does not wait. */
  next: z.iso.datetime().nullable(),
  /** How many tries in a row have failed. */
  failures: z.number().int(),
  /** How the last connection or try ended, and what to do; null: none has ended. */
  last: z.object({ at: z.iso.datetime(), why: z.string(), hint: z.string() }).nullable(),
});
export type DialStatus = z.infer<typeof dialStatusSchema>;

/** One thing that an agent needs to be ready. `warn`: installs work, and somebody should look. */
export const readinessCheckSchema = z.object({
  check: z.enum(['draining', 'root', 'recovery', 'watch', 'restart', 'dial']),
  status: z.enum(['pass', 'warn', 'fail']),
  /** Why it does not pass, and what to do. */
  detail: z.string().optional(),
  hint: z.string().optional(),
});
export type ReadinessCheck = z.infer<typeof readinessCheckSchema>;

/** Whether an agent can take an install. Only a caller that it trusts is told the reasons. */
export const readinessSchema = z.object({
  status: z.enum(['ok', 'not ok']),
  checks: z.array(readinessCheckSchema).optional(),
});
export type Readiness = z.infer<typeof readinessSchema>;

/** The state of the agent, and what only an operator can repair. */
export const statusSchema = z.object({
  /** The agent's own data; absent if a command reads a root without an agent. */
  agent: z.string().optional(),
  workspace: z.string().nullable().optional(),
  bootId: z.string().optional(),
  startedAt: z.iso.datetime().optional(),
  root: z.string(),
  /** How versions are swapped, made durable and locked. */
  swap: z.enum(['exchange', 'rename']),
  durability: z.enum(['syncfs', 'fsync', 'none']),
  locks: z.enum(['flock', 'record']),
  /** Running operations, by plugin and id. */
  operations: truncatedSchema(z.object({ plugin: z.string(), operationId: z.string() })),
  watch: watchStatusSchema.optional(),
  /** Null if the agent does not dial out. */
  dial: dialStatusSchema.nullable().optional(),
  /** Null if the agent has no restart command. */
  restart: restartStatusSchema.nullable().optional(),
  /**
   * Numbers of plugins. `pending` wait for a restart. `promised` of these wait for a restart that was promised and has
   * not ended well yet. `drifted` were edited in place.
   */
  plugins: z.object({
    admitted: z.number().int(),
    refused: z.number().int(),
    pending: z.number().int(),
    promised: z.number().int(),
    /** Absent if it was not requested. */
    drifted: z.number().int().optional(),
  }),
  troubles: truncatedSchema(
    z.object({
      plugin: z.string(),
      at: z.string(),
      operationId: z.string(),
      what: z.string(),
      todo: z.string(),
    }),
  ),
  /** Why nothing can be installed, and what to do. A command that reads a root says only that it is full. */
  blocked: z.object({ what: z.string(), todo: z.string() }).optional(),
});
export type Status = z.infer<typeof statusSchema>;

export const statusParams = {
  /** Leave out the number of drifted plugins, for which the agent looks at every file. */
  quick: z.boolean().optional().describe('do not count edits in place; counting them looks at every file'),
};
