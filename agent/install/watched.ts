/** What a watcher asks of a plugin: what the gate says, and what is known to be loaded. */
import { classify, isSkill } from '../../shared/classify.ts';
import { toFault } from '../../shared/fault.ts';
import { type Pending, mayBeLoaded } from '../../shared/state.ts';
import { counts } from '../../shared/tree.ts';
import type { Admission, Known } from '../../watch/ports.ts';
import type { Ground } from './ground.ts';
import { inspect } from './inspect.ts';
import { loadedRecord, loadingOf } from './loaded.ts';
import { receiptOf } from './records.ts';
import { lookAtLive } from './slot.ts';

/** What the gate says of a name. Never throws: what cannot be read is refused. */
export function admissionOf(ground: Ground, name: string): Admission {
  try {
    const path = ground.layout.live(name);
    const judgement = inspect(ground, name);
    if (judgement === undefined) {
      return { status: 'absent' };
    }
    if (!judgement.admitted) {
      return { status: 'refused', why: `${judgement.reason}: ${judgement.detail}` };
    }
    const { installId, manifest } = judgement;
    const stat = installId === undefined ? ground.disk.stat(path) : undefined;
    const generation = installId ?? `dir-${stat?.dev}-${stat?.ino}`;
    return { status: 'admitted', path, generation, installId, hotReload: manifest?.hotReload };
  } catch (error) {
    return { status: 'refused', why: `unreadable: ${toFault(error, `Reading "${name}"`).message}` };
  }
}

/**
 * What is known to be loaded of a plugin whose version of that generation is live.
 *
 * Where nothing was ever reported and nothing is pending, what lies there is what is loaded, as far as anybody can say; so it
 * is for a version of which nobody knows the files.
 *
 * @param before the stamp of what is known already. @returns undefined if nothing else is known.
 */
export function knownOf(
  ground: Ground,
  name: string,
  generation: string,
  before: string | undefined,
): Known | undefined {
  const live = lookAtLive(ground, name);
  const said = loadedRecord(ground, name);
  const { known, pending, generation: taken } = loadingOf(ground, name, live);
  const stamp = JSON.stringify([generation, known, taken, pending?.operationId, said?.generation, said?.at]);
  if (stamp === before) {
    return undefined;
  }
  if (!known) {
    return { stamp, loaded: 'unknown' };
  }
  const isLive = taken !== null && (taken === generation || live?.installId === null);
  if (!isLive && pending && isDoubted(pending) && !isCold(ground, name, taken, generation)) {
    // A version between may be loaded by now, and nothing that lies there tells it from the one that was.
    return { stamp, loaded: 'unknown' };
  }
  if (isLive && said === undefined) {
    return { stamp, loaded: 'live' };
  }
  const files = taken === null ? undefined : receiptOf(ground, name, taken)?.list;
  if (files === undefined) {
    return { stamp, loaded: isLive ? 'live' : 'unknown' };
  }
  const at = isLive && said?.at !== undefined ? Date.parse(said.at) : undefined;
  return {
    stamp,
    loaded: { files: files.filter(({ path }) => counts(path, ground.ignore)), at },
  };
}

/** Whether something else than skills may be loaded otherwise than what is taken to be. */
const isDoubted = (pending: Pending): boolean =>
  mayBeLoaded(pending) || (pending.edited ?? []).some((path) => !isSkill(path));

/** Whether nobody needs to be told that a restart is due: what differs between two versions says it. */
function isCold(ground: Ground, name: string, from: string | null, to: string): boolean {
  const before = from === null ? undefined : receiptOf(ground, name, from)?.list;
  return classify(before, receiptOf(ground, name, to)?.list, { ignore: ground.ignore }).kind === 'cold';
}
