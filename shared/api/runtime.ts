/** What is said between agent and platform of what the runtime has loaded, and of what a change would mean. */
import * as z from 'zod';

import { pluginNameSchema } from '../format/name.ts';
import { truncatedSchema } from '../truncate.ts';
import { fileEntrySchema } from '../format/tree.ts';

/** A longer list does not fit a frame: then the client asks for `plugin.files` and compares by itself. */
export const CLASSIFY_LIST_MAX = 1000;

export const classifyParams = {
  plugin: pluginNameSchema,
  /** The files of the version that is to be judged, as in a receipt. */
  list: z.array(fileEntrySchema.strict()).max(CLASSIFY_LIST_MAX),
  /** What its manifest says of `hot_reload`. */
  hotReload: z.boolean().optional(),
};

/**
 * What the runtime is taken to have loaded. `tree`: its files come on the stream, as JSON lines: a file as in a receipt
 * each, and `{"edited": path}` for each of which something else may be loaded.
 */
export const basisSchema = z.object({
  plugin: z.string(),
  kind: z.enum(['tree', 'unknown']),
  /** Why it is not known. */
  why: z.string().optional(),
  /** The generation that it is; null: none. */
  generation: z.string().nullable(),
  /** Names that this agent ignores beside those that everybody does: AIRLOCK_IGNORE. Absent: it does not say. */
  ignore: z.array(z.string()).optional(),
  stream: z.number().int().optional(),
});
export type BasisAnswer = z.infer<typeof basisSchema>;

/** What counts as loaded since; a null: the plugin was not live then. `pending`: what still waits for a restart. */
export const restartedSchema = z.object({
  loaded: truncatedSchema(z.object({ plugin: z.string(), generation: z.string().nullable() })),
  pending: truncatedSchema(z.string()),
});
export type Restarted = z.infer<typeof restartedSchema>;
