/** Tries how late the event loop comes to its work. */
import type { Clock } from '../../shared/clock.ts';

/** A try each quarter of a second costs next to nothing, and meets every stop that is long enough to matter. */
const TRY_MILLIS = 250;

/** @param clock one that does not jump. @param tell receives the delays, in milliseconds. @returns how to stop. */
export function watchLoopDelay(clock: Clock, tell: (millis: number) => void): () => void {
  let cancel = (): void => undefined;
  const again = (): void => {
    const due = clock.now() + TRY_MILLIS;
    cancel = clock.after(TRY_MILLIS, () => {
      tell(Math.max(0, clock.now() - due));
      again();
    });
  };
  again();
  return () => cancel();
}
