/**
 * `.staging/<name>.<stamp>.json`: the record of a change in progress and how far it has come. It is durable before the
 * first rename and is removed last. After a crash at any moment it tells recovery what to finish or undo.
 */
import * as z from 'zod';

import { digestSchema, operationIdSchema, pluginNameSchema, stampSchema } from './name.ts';

/** A larger file is not read as an intent. The answer that it holds may be long. */
export const INTENT_MAX_BYTES = 1024 * 1024;

export const intentSchema = z.object({
  version: z.literal(1),
  op: z.enum(['install', 'rollback', 'remove']),
  plugin: pluginNameSchema,
  stamp: stampSchema,
  operationId: operationIdSchema,
  /** The label of the caller, for the history. Absent: an earlier agent wrote the intent. */
  by: z.string().optional(),
  /** How the swap is done: one exchange, plain renames, or a copy out of a lower overlay layer. */
  path: z.enum(['exchange', 'rename', 'copy']),
  /** What was live when the intent was last written; null: nothing. */
  from: z
    .object({ installId: stampSchema.nullable(), kind: z.enum(['marked', 'empty-marker', 'unmarked']) })
    .nullable(),
  /** Of a rollback: the stamp of the snapshot that it brings back. */
  source: stampSchema.nullable(),
  /** Null until all of the tree was received. */
  tree: digestSchema.nullable(),
  bundle: digestSchema.nullable(),
  files: z.number().int().nonnegative(),
  bytes: z.number().int().nonnegative(),
  goal: z.enum(['forward', 'back']),
  /** The copy path has begun to remove the live version. */
  clearing: z.boolean(),
  /** How often recovery has tried. */
  attempts: z.number().int().nonnegative(),
  owner: z.object({
    bootId: z.string(),
    pidNamespace: z.string(),
    pid: z.number().int(),
    startTime: z.string(),
  }),
  trouble: z.string().optional(),
  /** Of a rollback: the marker of its tree in the snapshot, null for none. Absent until the tree gets another one. */
  marker: z.string().nullable().optional(),
  /** What is remembered if the swap succeeds, so that a repeated request has the same answer. */
  memory: z.object({ question: z.string(), answer: z.unknown() }).optional(),
});
export type Intent = z.infer<typeof intentSchema>;
