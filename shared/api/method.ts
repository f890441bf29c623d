/** The shape of a row of the table of methods. */
import * as z from 'zod';

import { operationIdSchema } from '../format/name.ts';
import type { FaultCode } from './fault.ts';

/**
 * The effect of a method. It decides where the method runs, whether it takes the plugin's lock and lane, whether recovery
 * runs first, whether the answer is remembered by the operation id, which scope a token needs, and whether an agent that
 * is shutting down still accepts it.
 */
export type Effect =
  /** Opens the session. */
  | 'session'
  /** Receives bytes on a stream; see service/upload. */
  | 'upload'
  /** Reads, and sends bytes on a stream; see service/exports. A read token is enough. */
  | 'download'
  /** Reads, in a thread. A read token is enough. */
  | 'query'
  /** Reads, and includes what the agent itself is doing. */
  | 'query-root'
  /** Changes one plugin, alone in its lane, under its lock. */
  | 'changes-plugin'
  /** Changes all plugins that need it, one after another. */
  | 'changes-root';

/** Whether a token of scope `read` is enough for methods of this effect. */
export const isReadEffect = (effect: Effect): boolean =>
  effect === 'query' || effect === 'query-root' || effect === 'download' || effect === 'session';

/** A command that calls a method. */
export type CommandRow = {
  name: string;
  /** The parameters that are positional, in this order. The others are options. */
  arguments: readonly string[];
  /** Parameters that the command always sends. */
  sets?: Readonly<Record<string, boolean | string>>;
  /** What the command does, if that is not all that the method does. */
  summary?: string;
};

type Row<P extends z.ZodRawShape, R extends z.ZodType, E extends Effect, S extends boolean> = {
  /** What it does, in one sentence: for docs and help. */
  summary: string;
  effect: E;
  params: P;
  result: R;
  /** The codes of its faults, besides INVALID_PARAMS, FORBIDDEN, READ_ONLY and INTERNAL, which every method may have. */
  faults: readonly FaultCode[];
  /** The rest of the answer may come on a stream: JSON lines, or the bytes of a download. */
  streams?: S;
  cli?: readonly CommandRow[];
};

/** A change has an operation id, so that it can be requested again. */
type Identified<E extends Effect> = E extends 'changes-plugin' | 'changes-root' | 'upload'
  ? { operationId: typeof operationIdSchema }
  : unknown;

type Method<P extends z.ZodRawShape, R extends z.ZodType, E extends Effect, S extends boolean> = Omit<
  Row<P, R, E, S>,
  'params' | 'streams'
> & { params: z.ZodObject<Omit<Identified<E>, keyof P> & P, z.core.$strict>; streams: S };

/** Makes a row. A change gets an operation id among its parameters, unless the row says itself when there must be one. */
export function method<
  P extends z.ZodRawShape,
  R extends z.ZodType,
  const E extends Effect,
  const S extends boolean = false,
>({ params, ...row }: Row<P, R, E, S>): Method<P, R, E, S> {
  const changes = row.effect === 'changes-plugin' || row.effect === 'changes-root' || row.effect === 'upload';
  const identified = changes ? { operationId: operationIdSchema } : {};
  return {
    ...row,
    streams: (row.streams ?? false) as S,
    // The compiler cannot derive the shape from the effect.
    params: z.strictObject({ ...identified, ...params }) as unknown as Method<P, R, E, S>['params'],
  };
}
