/** What must be true of a root after recovery, in the order in which it is asked. */
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { receiptOf, stateOf } from '../../agent/store/records.ts';
import { hashTree } from '../../agent/store/tree.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { readMarker } from '../../shared/format/marker.ts';
import { compareTrees } from '../../shared/format/tree.ts';
import { brokenHistory } from './history.ts';
import { type Room, contentOf, deliver, namesIn } from './install-room.ts';
import type { LosingDisk } from './losing-disk.ts';
import { NEXT } from './power-flows.ts';

/** 1: old or new. 2: new if it was answered. 3: no litter. 4: snapshots are whole. 5: it goes on. */
export type Broken = { promise: number; line: string };

export type Known = {
  /** What lay at the live place before the flow and after it. */
  before: string;
  after: string;
  /** Every tree that is whole. */
  whole: ReadonlySet<string>;
  /** Trees that may be live though they are neither: swapped in, then taken back. */
  between: ReadonlySet<string>;
  /** The records of the operations that the flow has answered, by their names. */
  answers: ReadonlyMap<string, string>;
};

/** What lies at a path, as one text. */
export const textOf = (disk: LosingDisk, path: string): string => JSON.stringify(disk.picture(path));

/** @returns a judge that remembers: what looks the same is the same. */
export function judgeOf(
  known: Known,
): (disk: LosingDisk, room: Room, answered: boolean) => Promise<Broken | undefined> {
  const judged = new Map<string, Broken | undefined>();
  return async (disk, room, answered) => {
    const live = textOf(disk, room.layout.live('lint'));
    if (live !== known.before && live !== known.after && !known.between.has(live)) {
      return { promise: 1, line: `live is ${whyNeither(live, known)}` };
    }
    if (answered && live !== known.after) {
      return { promise: 2, line: 'it was answered, and the old version is live' };
    }
    const forgotten = [...known.answers].find(
      ([name, record]) => answered && textOf(disk, `${room.layout.operations}/${name}`) !== record,
    );
    if (forgotten !== undefined) {
      return {
        promise: 2,
        line: `it was answered, and the record ${forgotten[0]} is not the one that was written`,
      };
    }
    const all = textOf(disk, room.layout.root);
    if (!judged.has(all)) {
      judged.set(all, await judge(disk, room, known));
    }
    return judged.get(all);
  };
}

function whyNeither(live: string, { before, after }: Known): string {
  if (live === '{}') return 'absent';
  const [old, now, found] = [before, after, live].map((text) => JSON.parse(text) as Record<string, string>);
  const pathsIn = (other: Record<string, string> = {}): string =>
    Object.keys({ ...other, ...found })
      .filter((path) => other[path] !== found?.[path])
      .map((path) => `"${path}" (${found?.[path]?.slice(0, 30) ?? 'absent'})`)
      .join(', ');
  return `neither the new version, by ${pathsIn(now)}, nor the old one, by ${pathsIn(old)}`;
}

async function judge(disk: LosingDisk, room: Room, known: Known): Promise<Broken | undefined> {
  const { layout } = room;
  const staging = namesIn(room, layout.staging);
  const previous = namesIn(room, layout.previous);
  const litter = [...staging, ...previous.filter((name) => /\.(?:trash|old)$/.test(name))];
  if (litter.length > 0) {
    return { promise: 3, line: `it leaves ${litter.join(', ')}` };
  }
  const torn = previous.find((name) => !known.whole.has(textOf(disk, `${layout.previous}/${name}`)));
  if (torn !== undefined) {
    return { promise: 4, line: `the snapshot ${torn} is none of the versions` };
  }
  const places = [layout.live('lint'), ...previous.map((name) => `${layout.previous}/${name}`)];
  const unlisted = places.map((path) => whyNotAsListed(room, path)).find(Boolean);
  if (unlisted !== undefined) {
    return { promise: 4, line: unlisted };
  }
  if (stateOf(room.context, 'lint')?.trouble !== undefined) {
    return { promise: 5, line: 'trouble was noted' };
  }
  const [wrong] = brokenHistory(room);
  if (wrong !== undefined) {
    return { promise: 5, line: `its history is broken: ${wrong}` };
  }
  return whyStuck(disk, room);
}

/** Why a marked tree is not the one of its receipt. One without a marker was found so, and has none. */
function whyNotAsListed({ context }: Room, path: string): string | undefined {
  const { disk } = context;
  if (disk.stat(`${path}/${MARKER}`) === undefined) {
    return undefined;
  }
  const marker = readMarker(contentOf(disk, `${path}/${MARKER}`));
  if (marker.kind !== 'full') {
    return `${path} has a marker that is ${marker.kind}`;
  }
  const receipt = receiptOf(context, 'lint', marker.marker.installId);
  if (receipt === undefined) {
    return `${path} has no receipt`;
  }
  const { modified, missing, unlisted } = compareTrees(receipt.list, hashTree(context, path).files);
  const different = [...modified, ...missing, ...unlisted];
  return different.length === 0 ? undefined : `${path} is not as its receipt says: ${different.join(', ')}`;
}

/** Why a further install does not work; it is made on a disk of its own. */
async function whyStuck(disk: LosingDisk, room: Room): Promise<Broken | undefined> {
  const other = disk.fork();
  const context = { ...room.context, disk: other.disk };
  const stuck = (line: string): Broken => ({ promise: 5, line });
  const { layout } = room;
  if (disk.picture(`${layout.live('lint')}/${MARKER}`)[''] !== undefined) {
    const { verdict } = verifyPlugin(context, 'lint');
    if (verdict !== 'intact') return stuck(`what is live is ${verdict}`);
  }
  try {
    await deliver({ ...room, context }, NEXT);
  } catch (error) {
    return stuck(`the next install fails: ${String(error)}`);
  }
  const left = namesIn({ ...room, context }, layout.staging);
  const { verdict } = verifyPlugin(context, 'lint');
  return verdict === 'intact' && left.length === 0
    ? undefined
    : stuck(`the next install is ${verdict} and leaves ${left.join(', ') || 'nothing'}`);
}
