/** The messages about what the runtime has loaded, and about what a change would mean for it. */
import * as z from 'zod';

import { pluginNameSchema } from '../format/name.ts';
import { truncatedSchema } from '../truncate.ts';
import { fileEntrySchema } from '../format/tree.ts';

/** A longer list does not fit a frame: then the client asks for `plugin.files` and compares the lists itself. */
export const CLASSIFY_LIST_MAX = 1000;

export const classifyParams = {
  plugin: pluginNameSchema,
  /** The files of the version to judge, as in a receipt. */
  list: z.array(fileEntrySchema.strict()).max(CLASSIFY_LIST_MAX),
  /** The `hot_reload` of its manifest. */
  hotReload: z.boolean().optional(),
};

/**
 * The version that counts as loaded. `tree`: its files are on the stream as JSON lines, each as in a receipt. A line
 * `{"edited": path}` follows for each file of which the runtime may have loaded something else.
 */
export const basisSchema = z.object({
  plugin: z.string(),
  kind: z.enum(['tree', 'unknown']),
  /** Why the loaded version is not known. */
  why: z.string().optional(),
  /** The generation that counts as loaded; null: none. */
  generation: z.string().nullable(),
  /** Names that this agent ignores besides the built-in ones: AIRLOCK_IGNORE. Absent: not known. */
  ignore: z.array(z.string()).optional(),
  stream: z.number().int().optional(),
});
export type BasisAnswer = z.infer<typeof basisSchema>;

/**
 * The versions that now count as loaded; null: the plugin was not live then. `pending`: plugins that still wait for a
 * restart.
 */
export const restartedSchema = z.object({
  loaded: truncatedSchema(z.object({ plugin: z.string(), generation: z.string().nullable() })),
  pending: truncatedSchema(z.string()),
});
export type Restarted = z.infer<typeof restartedSchema>;
