/** The events of an agent. They are numbered, so a client that was away can get the ones that it missed. */
import * as z from 'zod';

import { reloadSchema } from '../rule/classify.ts';
import { faultDataSchema } from './fault.ts';
import { removedParts } from './plugin.ts';

export const eventTypes = [
  'install.progress',
  'install.staged',
  'install.swapped',
  'install.complete',
  'install.failed',
  'install.rolled-back',
  'plugin.changed',
  'plugin.loaded',
  'plugin.removed',
  'plugin.adopted',
  'sweep.done',
  'draining',
  'snapshot',
] as const;
export type EventType = (typeof eventTypes)[number];

/** The steps of an install, by the names that logs, events and docs use. */
export const installSteps = ['receive', 'stage', 'validate', 'seal', 'swap', 'verify', 'collect'] as const;
export type InstallStep = (typeof installSteps)[number];

const operation = { operationId: z.string(), plugin: z.string() };

/** The data of each type. */
export const eventData = {
  /** Sent at the end of each step with its time, and from time to time while bytes arrive. */
  'install.progress': z.object({
    ...operation,
    step: z.enum(installSteps),
    received: z.number(),
    total: z.number(),
    entries: z.number(),
    /** Milliseconds that the step took; absent while it is running. */
    millis: z.number().optional(),
  }),
  'install.staged': z.object({ ...operation, tree: z.string(), files: z.number(), bytes: z.number() }),
  'install.swapped': z.object({ ...operation, installId: z.string(), replaced: z.string().nullable() }),
  'install.complete': z.object({
    ...operation,
    status: z.enum(['installed', 'present']),
    installId: z.string(),
    version: z.string(),
    by: z.string(),
  }),
  'install.failed': z.object({ ...operation, error: faultDataSchema }),
  /** An older version is live again. `refused` is the version that it replaced; null if nothing was live. */
  'install.rolled-back': z.object({
    ...operation,
    installId: z.string(),
    version: z.string(),
    refused: z.string().nullable(),
    by: z.string(),
  }),
  /** Another version is live: what that means for the runtime, and which operation caused it. */
  'plugin.changed': reloadSchema.extend({ plugin: z.string(), cause: z.string() }),
  /** The runtime has loaded another version; null: the plugin is unloaded. */
  'plugin.loaded': z.object({ plugin: z.string(), generation: z.string().nullable(), cause: z.string() }),
  /** What the removed version had is named, as far as its files could be listed. */
  'plugin.removed': z.object({
    ...operation,
    installId: z.string().nullable(),
    by: z.string(),
    ...removedParts,
  }),
  /** A live directory has got a full marker. Its files are the same as before. */
  'plugin.adopted': z.object({
    ...operation,
    installId: z.string(),
    version: z.string(),
    by: z.string(),
  }),
  'sweep.done': z.object({
    snapshots: z.number(),
    receipts: z.number(),
    adopted: z.number(),
    operations: z.number(),
    busy: z.number(),
    failed: z.number(),
  }),
  draining: z.object({}),
  /** Everything that is installed. Sent if the events since `resume` are gone. */
  snapshot: z.object({ plugins: z.object({ items: z.array(z.unknown()), total: z.number() }) }),
} as const satisfies Record<EventType, z.ZodType>;

export type EventBody = { [T in EventType]: { type: T; data: z.infer<(typeof eventData)[T]> } }[EventType];

/** An event on the wire. An unknown type is passed on to the client's caller, who may ignore it. */
export const eventSchema = z.object({
  bootId: z.string(),
  seq: z.number().int(),
  at: z.iso.datetime(),
  type: z.string(),
  data: z.unknown(),
});
export type Event = z.infer<typeof eventSchema>;
