/** What answers say about the history of plugins. */
import * as z from 'zod';

import { historyLineSchema } from '../format/history.ts';
import { truncatedSchema } from '../truncate.ts';

/** The history of one plugin as a whole. */
export const historyInfoSchema = z.object({
  plugin: z.string(),
  /** The number of its lines. */
  lines: z.number().int(),
  /** The sha256 of its last line, with the newline; null: it has none. Kept elsewhere, it shows later whether the history was rewritten. */
  head: z.string().nullable(),
  /**
   * Only if it was requested. `whole`: each line fits the one before, and the last ones fit the disk. `broken`: see the
   * findings. `unknown`: there is no history, because the plugin was installed before there was one.
   */
  verdict: z.enum(['whole', 'broken', 'unknown']).optional(),
  /** What is wrong; `line` is the number of the line that it is about. */
  findings: truncatedSchema(z.object({ line: z.number().int().optional(), what: z.string() })).optional(),
  /** Remarks on what is not wrong. */
  notes: z.array(z.string()).optional(),
});
export type HistoryInfo = z.infer<typeof historyInfoSchema>;

export const historyResultSchema = z.object({
  /** The newest lines, the newest last; `total` counts all of them. */
  lines: truncatedSchema(historyLineSchema),
  /** As JSON lines, all that were requested; absent if they are in the answer. */
  stream: z.number().int().optional(),
  /** Each plugin that has a history; with `verify` those that are live too. Broken ones come first. */
  plugins: truncatedSchema(historyInfoSchema),
  /** The number of broken histories; only with `verify`. */
  broken: z.number().int().optional(),
});
