/** `.loaded/<name>.json`: which version a runtime reports as loaded. */
import * as z from 'zod';

import { isPluginName } from './name.ts';

export const loadedSchema = z.looseObject({
  version: z.literal(1),
  /** The installId, or its substitute if the marker is empty. */
  generation: z.string().min(1).max(256),
  /** When the plugin was read, or when the restart began: later edits are not loaded. */
  at: z.iso.datetime({ offset: true }).optional(),
  /** Who wrote the report, if not the runtime itself: the agent, after a restart. */
  by: z.string().optional(),
});
export type Loaded = z.infer<typeof loadedSchema>;

/** The name of a report while it is written. @param by makes it differ from those of other writers. */
export const loadedDraft = (plugin: string, by: string): string => `.${plugin}.${by}.tmp`;

const DRAFT = /^\.(.+)\.(?:agent|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.tmp$/;

/** Whether an entry of the directory has such a name. */
export const isLoadedDraft = (entry: string): boolean => isPluginName(DRAFT.exec(entry)?.[1] ?? '');

/** Reads the text of such a file; undefined if it is not valid. */
export function readLoaded(text: string): Loaded | undefined {
  try {
    return loadedSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
