/** What an upload lives among. */
import type { EventBody } from '../../shared/events.ts';
import type { Fault } from '../../shared/fault.ts';
import type { Clock } from './clock.ts';
import type { Holds } from './holds.ts';
import type { Lanes } from '../../shared/lanes.ts';
import type { Leasing } from './turns.ts';

/** The stream of a connection on which the bytes come in. */
export type Link = {
  stream: number;
  /** Tells the sender what is taken in and how far it may send; both absolute. */
  grant(offset: number, limit: number): void;
  /** The upload has another link now or needs none any more; with a fault, it has failed and the sender is told. */
  drop(fault?: Fault): void;
};

/** In milliseconds; `lock`: how long another process is waited for. */
export type Patience = { stall: number; resume: number; deadline: number; lock: number };

export type Surroundings = {
  pool: Leasing;
  lanes: Lanes;
  holds: Pick<Holds, 'hold'>;
  clock: Clock;
  patience: Patience;
  tell: (event: EventBody) => void;
  complain: (fault: Fault, stack: string | undefined) => void;
};
