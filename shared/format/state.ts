/** `.state/<name>.json`: what is known of a plugin beyond what is live. */
import * as z from 'zod';

import { reasonSchema } from './tree.ts';
import { digestSchema, operationIdSchema } from './name.ts';
import { truncatedSchema } from '../truncate.ts';

/** A cold change that is live and that the runtime, as far as is known, has not loaded yet. Computed, never stored. */
export const pendingSchema = z.object({
  at: z.iso.datetime(),
  operationId: operationIdSchema,
  /** The version that waits to be loaded; null: the plugin is removed, and waits to be unloaded. */
  installId: z.string().nullable(),
  /** The generation that is taken to be loaded meanwhile; null: none. */
  against: z.string().nullable(),
  /** Whether a restart was promised for it. */
  restarting: z.boolean(),
  reasons: truncatedSchema(reasonSchema),
});
export type Pending = z.infer<typeof pendingSchema>;

/** The last change that needs a restart. */
export const waitingSchema = z.object({
  at: z.iso.datetime(),
  operationId: operationIdSchema,
  /** Whether a restart was promised for it. */
  restarting: z.boolean(),
});
export type Waiting = z.infer<typeof waitingSchema>;

/**
 * The trees that the runtime may be running, and whether a restart may add to them.
 *
 * The tree that it really runs is always among the candidates. So a change is called hot only if it is hot for each of them.
 */
const runtimeStateSchema = z.object({
  /** In the order in which they became live. The first one is what is taken to be loaded. */
  candidates: z
    .array(
      z.object({
        /** Null: no version of the plugin. */
        generation: z.string().nullable(),
        /** Paths that may differ from the files of this generation. An empty path stands for the whole plugin. */
        edited: z.array(z.string()),
      }),
    )
    .min(1),
  /**
   * `promised`: somebody is to restart the runtime, and nobody has told yet that this has ended well. `running`: a restart has
   * begun, and nobody makes up for it if it fails. In both cases each version that becomes live may be loaded.
   */
  restart: z.enum(['none', 'promised', 'running']),
  /** When the report was made that names the first candidate. Absent: no report names it. */
  reportedAt: z.iso.datetime().optional(),
});
export type RuntimeState = z.infer<typeof runtimeStateSchema>;

export const storedRuntimeSchema = runtimeStateSchema.extend({ waiting: waitingSchema.optional() });
/** What the runtime may have loaded, and the change that waits for a restart. */
export type StoredRuntime = z.infer<typeof storedRuntimeSchema>;

/** How the version before wrote down what the runtime may have loaded: in `pending`. */
const formerPendingSchema = z.object({
  ...waitingSchema.shape,
  installId: z.string().nullable(),
  against: z.string().nullable(),
  earlier: z.enum(['promised', 'begun']).optional(),
  edited: z.array(z.string()).default([]),
  reasons: z.object({ items: z.array(z.object({ path: z.string() })) }),
});

/** They did not tell what a restart may have read from what was loaded before: all of it may differ. */
function fromFormer(former: z.infer<typeof formerPendingSchema>): StoredRuntime {
  const { at, operationId, restarting, against, installId, earlier, edited, reasons } = former;
  const mayBeLoaded = restarting || earlier !== undefined;
  const between = mayBeLoaded ? reasons.items.map(({ path }) => path) : [];
  // Of no version there is no file that may differ.
  const paths = against === null ? [] : [...edited, ...between];
  const isPromised = restarting || earlier === 'promised';
  const others = mayBeLoaded && installId !== against ? [{ generation: installId, edited: [] }] : [];
  return {
    candidates: [{ generation: against, edited: [...new Set(paths)] }, ...others],
    restart: isPromised ? 'promised' : earlier === 'begun' ? 'running' : 'none',
    waiting: { at, operationId, restarting },
  };
}

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
  /** What the runtime may have loaded. Absent: what it has reported and what is live. */
  runtime: storedRuntimeSchema.optional(),
});
export type PluginState = z.infer<typeof stateSchema>;

/** What a state file that is absent says. */
export const NO_STATE: PluginState = { version: 1 };

/** Reads the text of a state file; undefined if it is none. */
export function readState(text: string): PluginState | undefined {
  try {
    const state = stateSchema.parse(JSON.parse(text));
    const { pending, ...rest } = state;
    return pending === undefined || state.runtime !== undefined
      ? state
      : { ...rest, runtime: fromFormer(formerPendingSchema.parse(pending)) };
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

/** @param state undefined: it cannot be read. @param loaded the generation that the runtime says it has loaded. */
export function notesOf(
  state: PluginState | undefined,
  loaded: string | undefined,
  pending: Pending | undefined,
): Notes {
  const { trouble, held } = state ?? NO_STATE;
  return {
    ...(trouble === undefined ? {} : { trouble: { what: trouble.what, todo: trouble.todo } }),
    ...(held === undefined ? {} : { held }),
    ...(loaded === undefined ? {} : { loaded }),
    ...(pending === undefined ? {} : { pending }),
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
