/** `.state/<name>.json`: what is known of a plugin beyond what is live. */
import * as z from 'zod';

import { reasonSchema } from './tree.ts';
import { digestSchema, operationIdSchema, stampSchema } from './name.ts';
import { truncatedSchema } from '../truncate.ts';

/** A cold change that is live and that the runtime, as far as is known, has not loaded yet. */
export const pendingSchema = z.object({
  at: z.iso.datetime(),
  operationId: operationIdSchema,
  /** The version that waits to be loaded; null: the plugin is removed, and waits to be unloaded. */
  installId: stampSchema.nullable(),
  /** The generation that is taken to be loaded meanwhile; null: none. */
  against: z.string().nullable(),
  /** Whether a restart was promised. */
  restarting: z.boolean(),
  /**
   * A restart that was promised before did not end well, as far as is known: it is still to be made up for, or has begun and
   * may have loaded what was live then.
   */
  earlier: z.enum(['promised', 'begun']).optional(),
  /**
   * Paths of which something else may be loaded than `against` has of them: edited in place before, or of a version that a
   * restart may have read which has ended. Empty for the plugin as a whole.
   */
  edited: z.array(z.string()).optional(),
  reasons: truncatedSchema(reasonSchema),
});
export type Pending = z.infer<typeof pendingSchema>;

/**
 * Whether a change still waits to be loaded. That what waits is loaded ends it; that a version before it is does not, as long
 * as it is live.
 *
 * @param loaded the generation that the runtime says it has loaded.
 * @param live the version that is live; null for none, undefined for one without a name.
 */
export const isPending = (
  pending: Pending | undefined,
  loaded: string | undefined,
  live: string | null | undefined,
): pending is Pending =>
  pending !== undefined &&
  (loaded === undefined ||
    loaded === pending.against ||
    (loaded !== pending.installId && live === pending.installId));

/** Whether a restart was promised that is still to be made. */
export const isPromised = ({ restarting, earlier }: Pending): boolean => restarting || earlier === 'promised';

/** Whether what is live, or a version between, may be loaded by now. */
export const mayBeLoaded = ({ restarting, earlier }: Pending): boolean => restarting || earlier !== undefined;

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
  pending: pendingSchema.optional(),
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

/** What a list says of a plugin beside the gate's answer: what is left to an operator, what is loaded, what waits. */
export type Notes = {
  trouble?: { what: string; todo: string };
  /** Why installs are refused. */
  held?: string;
  loaded?: string;
  pending?: Pending;
};

/**
 * @param state undefined: it cannot be read. @param loaded the generation that the runtime says it has loaded.
 * @param live the version that is live; null for none, undefined for one without a name.
 */
export function notesOf(
  state: PluginState | undefined,
  loaded: string | undefined,
  live: string | null | undefined,
): Notes {
  const { trouble, held, pending } = state ?? NO_STATE;
  return {
    ...(trouble === undefined ? {} : { trouble: { what: trouble.what, todo: trouble.todo } }),
    ...(held === undefined ? {} : { held }),
    ...(loaded === undefined ? {} : { loaded }),
    ...(isPending(pending, loaded, live) ? { pending } : {}),
  };
}

/** Why a plugin is listed of which nothing is live: what only an operator can put right, or a restart. */
type Absence = { status: 'absent'; detail: string; hint: string };

/** What a list says of a plugin of which nothing is live; undefined if there is nothing to say. */
export function absenceOf({ trouble, held, pending }: Notes): Absence | undefined {
  if (trouble !== undefined) {
    return { status: 'absent', detail: trouble.what, hint: trouble.todo };
  }
  if (pending !== undefined) {
    return {
      status: 'absent',
      detail: 'It is removed, and the runtime may still have it loaded',
      hint: 'Restart the runtime; if it does not report by itself what it has loaded, say so with "airlock restarted"',
    };
  }
  return held === undefined
    ? undefined
    : { status: 'absent', detail: 'It is not installed', hint: 'Nothing needs to be done while it is held' };
}
