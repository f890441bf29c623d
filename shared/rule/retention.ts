/** Decides which snapshots of a plugin are no longer kept. Pure. */
import { stampMillis } from '../format/name.ts';

/** What the owner wants to keep: how many versions per plugin, and each for how long at most (milliseconds). */
export type Retention = { keep: number; keepMillis: number };

/**
 * The snapshots beyond the number and the age that the owner wants. The number follows the order in which the versions
 * replaced each other, never a clock. The age counts from the displacement, which the stamp of a snapshot names. A clock that is
 * behind the newest stamp is wrong: then no snapshot is too old.
 *
 * @param stamps of all snapshots, the last displaced first.
 * @param live the installId of the live version, where it has one.
 * @param now milliseconds since the epoch.
 */
export function expiredSnapshots(
  stamps: readonly string[],
  { keep, keepMillis }: Retention,
  live: string | undefined,
  now: number,
): string[] {
  const moments = [...stamps, live ?? ''].map(stampMillis).filter((at) => !Number.isNaN(at));
  const isClockRight = now >= Math.max(0, ...moments);
  return stamps.filter(
    (stamp, place) => place >= keep || (isClockRight && now - stampMillis(stamp) > keepMillis),
  );
}
