/** What an agent says of its house-keeping and of itself. */
import * as z from 'zod';

import { faultDataSchema } from './fault.ts';
import { truncatedSchema } from '../truncate.ts';

/** What recovery did about one stamp of a plugin: the rows of its table, and why it stopped if it did. */
const recoveredSchema = z.object({
  plugin: z.string(),
  stamp: z.string(),
  rows: z.array(z.number().int()),
  held: z.string().optional(),
});
export type Recovered = z.infer<typeof recoveredSchema>;

/** What the house-keeping has removed or put right; `busy`: plugins that were being worked on, and were left alone. */
export const sweptSchema = z.object({
  recovered: truncatedSchema(recoveredSchema),
  snapshots: truncatedSchema(z.string()),
  receipts: truncatedSchema(z.string()),
  adopted: truncatedSchema(z.string()),
  operations: z.number().int(),
  busy: truncatedSchema(z.string()),
  failed: truncatedSchema(z.object({ plugin: z.string(), error: faultDataSchema })),
});
export type Swept = z.infer<typeof sweptSchema>;

export const recoveryResultSchema = z.object({
  recovered: truncatedSchema(recoveredSchema),
  /** Plugins that were being worked on, and were left alone. */
  busy: truncatedSchema(z.string()),
  failed: truncatedSchema(z.object({ plugin: z.string(), error: faultDataSchema })),
});
export type RecoveryResult = z.infer<typeof recoveryResultSchema>;

/** Whether edits by hand are seen; the last things that hindered it. */
export const watchStatusSchema = z.object({
  /** `failed`: it ended, and is started again in a while. */
  mode: z.enum(['off', 'starting', 'on', 'polling', 'failed']),
  notices: z.array(z.string()),
});
export type WatchStatus = z.infer<typeof watchStatusSchema>;

/** What the restart command of an agent does, and how it ended last. */
export const restartStatusSchema = z.object({
  /** `due`: it begins when the burst of changes is over. */
  state: z.enum(['idle', 'due', 'running']),
  /** Null until one has ended since the agent began. */
  last: z
    .object({
      endedAt: z.iso.datetime(),
      /** Otherwise the changes stay pending. */
      ok: z.boolean(),
      /** How it ended. What it said is in the log alone: it may be nobody else's business. */
      how: z.string(),
    })
    .nullable(),
});
export type RestartStatus = z.infer<typeof restartStatusSchema>;

/** How the agent is, and what only an operator can put right. */
export const statusSchema = z.object({
  /** What an agent says of itself; absent where a command looks at a root without one. */
  agent: z.string().optional(),
  workspace: z.string().nullable().optional(),
  bootId: z.string().optional(),
  startedAt: z.iso.datetime().optional(),
  root: z.string(),
  /** How versions change places here, how they are made durable, and how they are locked. */
  swap: z.enum(['exchange', 'rename']),
  durability: z.enum(['syncfs', 'fsync', 'none']),
  locks: z.enum(['flock', 'record']),
  /** Operations under way, by plugin and id. */
  operations: truncatedSchema(z.object({ plugin: z.string(), operationId: z.string() })),
  watch: watchStatusSchema.optional(),
  /** Null where the agent has no restart command. */
  restart: restartStatusSchema.nullable().optional(),
  /**
   * How many; of them `pending` wait for a restart, `promised` among those for one that was promised and has not ended well
   * yet, and `drifted` were edited in place.
   */
  plugins: z.object({
    admitted: z.number().int(),
    refused: z.number().int(),
    pending: z.number().int(),
    promised: z.number().int(),
    /** Absent where it was not asked for. */
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
});
export type Status = z.infer<typeof statusSchema>;
