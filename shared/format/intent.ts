/**
 * `.staging/<name>.<stamp>.json`: what is being done to which plugin, and how far it has come. It is durable before
 * the first rename and goes last, so that after a crash at any instant it tells recovery what to finish or undo.
 */
import * as z from 'zod';

import { digestSchema, operationIdSchema, pluginNameSchema, stampSchema } from './name.ts';

/** A file of more bytes than this is not read as an intent. The answer that it remembers may be long. */
export const INTENT_MAX_BYTES = 1024 * 1024;

export const intentSchema = z.object({
  version: z.literal(1),
  op: z.enum(['install', 'rollback', 'remove']),
  plugin: pluginNameSchema,
  stamp: stampSchema,
  operationId: operationIdSchema,
  /** How the swap is done: one exchange, plain renames, or a copy out of a lower overlay layer. */
  path: z.enum(['exchange', 'rename', 'copy']),
  /** What was live when the intent was last written: null for nothing. */
  from: z
    .object({ installId: stampSchema.nullable(), kind: z.enum(['marked', 'empty-marker', 'unmarked']) })
    .nullable(),
  /** Of a rollback: the stamp of the snapshot that it brings back. */
  source: stampSchema.nullable(),
  /** Null until the tree has been received whole. */
  tree: digestSchema.nullable(),
  bundle: digestSchema.nullable(),
  files: z.number().int().nonnegative(),
  bytes: z.number().int().nonnegative(),
  goal: z.enum(['forward', 'back']),
  /** The copy path has begun to clear away what is live. */
  clearing: z.boolean(),
  /** How often recovery has taken it up. */
  attempts: z.number().int().nonnegative(),
  owner: z.object({
    bootId: z.string(),
    pidNamespace: z.string(),
    pid: z.number().int(),
    startTime: z.string(),
  }),
  trouble: z.string().optional(),
  /** Of a rollback: the marker that its tree has where it comes from, null for none. Absent until it gets another. */
  marker: z.string().nullable().optional(),
  /** What is remembered if the swap stands, so that who asks again has the same answer. */
  memory: z.object({ question: z.string(), answer: z.unknown() }).optional(),
});
export type Intent = z.infer<typeof intentSchema>;
