/** The messages of a reconcile: which plugins are declared, and what was found and done about each. */
import * as z from 'zod';

import { DECLARED_MAX, declaredSchema } from '../format/lock-file.ts';
import { operationIdSchema } from '../format/name.ts';
import { reloadSchema } from '../rule/classify.ts';
import { reconcileActions, reconcileStates } from '../rule/reconcile.ts';
import { faultDataSchema } from './fault.ts';

export const reconcileParams = {
  /** `apply` needs one. */
  operationId: operationIdSchema.optional(),
  declared: z.array(declaredSchema).max(DECLARED_MAX),
  /** `plan` only says what differs, and a read token is enough. */
  mode: z.enum(['plan', 'apply']),
  /** Also deliver plugins whose files were edited in place. */
  repair: z.boolean().optional(),
  /** Also send the whole list, as JSON lines on a stream, if it does not fit an answer. */
  all: z.boolean().optional(),
};

/** What became of a plugin. `wanted`: its bytes are not here, so the client is to push it. */
const fates = ['adopted', 'installed', 'present', 'wanted', 'failed'] as const;

/** One plugin: what was found, what has to be done, and what was done. */
export const reconciledSchema = z.object({
  name: z.string(),
  state: z.enum(reconcileStates),
  action: z.enum(reconcileActions),
  /** Why it is so, or why it was delivered and not adopted. */
  detail: z.string().optional(),
  /** The version that is live, as far as its marker says it; after `apply` the one that was found before. */
  installId: z.string().optional(),
  version: z.string().optional(),
  tree: z.string().optional(),
  bundle: z.string().optional(),
  source: z.string().optional(),
  /** Absent: there was nothing to do, or it was only planned. */
  fate: z.enum(fates).optional(),
  /** What the change means for the runtime, without its reasons. */
  reload: reloadSchema.omit({ reasons: true }).optional(),
  /** Why it failed. */
  error: faultDataSchema.optional(),
});
export type Reconciled = z.infer<typeof reconciledSchema>;
