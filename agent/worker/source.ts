/** Bytes that are read when they are asked for. */
import type { Fault } from '../../shared/api/fault.ts';
import type { Piece } from '../store/export.ts';

/** One reader reads it, one piece after the other. */
export type Source = {
  /** The next piece. It is not asked for a second time before it has come, or after the last one. @throws Fault */
  pull(): Promise<Piece>;
  /** Nobody reads the rest. It has no effect after the last piece. */
  cancel(): void;
  /** Resolves if it fails while nobody asks for a piece; never rejects. */
  readonly lost: Promise<Fault>;
};

/** Whether the rest of an answer is read piece by piece. */
export const isSource = (rest: readonly object[] | Source): rest is Source => 'pull' in rest;
