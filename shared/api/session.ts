/** What a connection says besides requests, answers and events: the greeting, and the notifications about streams. */
import * as z from 'zod';

import { faultDataSchema } from './fault.ts';
import { PROTOCOL } from './rpc.ts';

/** A position in the events: which start of the agent, and the number of the event. */
export const positionSchema = z.strictObject({ bootId: z.string(), seq: z.number().int().nonnegative() });

/** The agent's first message on a connection. */
export const helloSchema = z.object({
  /** The agent's version. */
  agent: z.string(),
  /** The id of the workspace, if the agent has one. */
  workspace: z.string().nullable(),
  runtime: z.string().nullable(),
  /** Changes with each start of the agent. */
  bootId: z.string(),
  protocol: z.literal(PROTOCOL),
  capabilities: z.array(z.string()),
  limits: z.object({
    frameBytes: z.number(),
    windowBytes: z.number(),
    requestsInFlight: z.number(),
    streamsInFlight: z.number(),
    packedBytes: z.number(),
    unpackedBytes: z.number(),
    entries: z.number(),
  }),
});
export type Hello = z.infer<typeof helloSchema>;

/** Lets the sender of a stream send bytes up to `limit` (exclusive), and acknowledges those before `offset`. */
export const windowSchema = z.strictObject({
  stream: z.number().int().nonnegative(),
  offset: z.number().int().nonnegative(),
  limit: z.number().int().nonnegative(),
});
export type Window = z.infer<typeof windowSchema>;

/** Ends a stream from the agent that its reader does not need. The agent drops the rest. */
export const cancelSchema = z.strictObject({ stream: z.number().int().nonnegative() });

/** The stream has failed. The agent takes no more bytes of an upload, and its commit has the same error. */
export const resetSchema = z.object({ stream: z.number().int(), error: faultDataSchema });
export type Reset = z.infer<typeof resetSchema>;
