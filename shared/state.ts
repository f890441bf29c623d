/** `.state/<name>.json`: what is known of a plugin beyond what is live. */
import { z } from 'zod';

import { digestSchema, operationIdSchema } from './name.ts';

export const stateSchema = z.looseObject({
  version: z.literal(1),
  /** Why nothing is to be installed; an install must be forced. */
  held: z.string().optional(),
  /** The gate refuses the plugin, on purpose. */
  disabled: z.boolean().optional(),
  /** What a rollback has taken away: an install of it must be forced. */
  refused: z
    .object({ installId: z.string(), tree: digestSchema, bundle: digestSchema, at: z.iso.datetime() })
    .optional(),
  /** Something that only an operator can put right: what happened and what to do. */
  trouble: z
    .object({ at: z.iso.datetime(), operationId: operationIdSchema, what: z.string(), todo: z.string() })
    .optional(),
});
export type PluginState = z.infer<typeof stateSchema>;

/** What a state file that is absent says. */
export const NO_STATE: PluginState = { version: 1 };

/** Reads the text of a state file; undefined if it is none. */
export function readState(text: string): PluginState | undefined {
  try {
    return stateSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
