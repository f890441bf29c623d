/** Sends only the files of a bundle that the agent lacks. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { Fault } from '../shared/api/fault.ts';
import type { Result } from '../shared/api/methods.ts';
import { DELTA_LIST_MAX_BYTES, type Planned, readPlanned } from '../shared/format/delta.ts';
import type { FileEntry } from '../shared/format/tree.ts';
import { planDelta } from '../shared/rule/delta.ts';
import type { Bundle } from './bundle.ts';
import { compress } from './pack/compress.ts';
import { isNotReached } from './reach.ts';
import type { Session } from './session.ts';
import { makeTemporary } from './temporary.ts';

/** A delta is tried for bundles of at least so many bytes. Smaller ones are sent before an answer would be there. */
const BUNDLE_MIN_BYTES = 128 * 1024;
/**
 * The same over the loopback or a Unix socket, where bytes cost next to nothing and the agent makes each file anew either way.
 * Not more, because the loopback may lead into a tunnel.
 */
const LOCAL_MIN_BYTES = 1024 * 1024;
/** About so many bytes of the agent's list stand for a file. */
const LISTED_BYTES = 16;
/** A list is asked for if it is at most this part of the bundle, and files are sent if they are at most this part of all. */
const PART_MAX = 1 / 4;
/** More bytes of a list are not read. */
const LIST_MAX_BYTES = 64 * 1024 * 1024;

/** What was sent instead of a whole bundle. */
export type DeltaResult = {
  /** The files that were sent. */
  files: number;
  /** All bytes that it took, with the list of the agent. */
  bytes: number;
  /** The bytes of the whole bundle. */
  of: number;
};

/** A bundle of the files that the agent lacks. */
export type DeltaBundle = {
  sent: Bundle;
  base: string;
  /** The bytes of the files that the agent takes from what it has. */
  copied: number;
  result: DeltaResult;
  dispose: () => Promise<void>;
};

/** Whether an agent says which files it has, and takes what it has from its disk. */
export const knowsDeltas = ({ hello }: Session): boolean => hello.capabilities.includes('delta');

/** `wanted`: whether a delta is to be sent wherever one is possible (`true`), or never; undefined: where it pays. */
export type DeltaOptions = { wanted?: boolean | undefined; signal?: AbortSignal | undefined };

/** Whether it may pay to ask the agent what it has. */
export function mayPay(session: Session, { parts, tree, size }: Bundle, wanted?: boolean): boolean {
  if (wanted === false || parts === undefined || tree === undefined || !knowsDeltas(session)) return false;
  const least = session.isLocal && wanted !== true ? LOCAL_MIN_BYTES : BUNDLE_MIN_BYTES;
  return size >= least && parts.list.length * LISTED_BYTES <= size * PART_MAX;
}

/**
 * Asks the agent which files it has, and packs the others.
 *
 * @returns undefined if the whole bundle is to be sent: the agent knows no deltas or has no version, or it would not pay.
 * @throws Fault UNREACHABLE; CANCELLED by the signal. Anything else is no reason not to send the whole bundle.
 */
export async function packDelta(
  session: Session,
  bundle: Bundle,
  { wanted, signal }: DeltaOptions,
): Promise<DeltaBundle | undefined> {
  if (!mayPay(session, bundle, wanted)) return undefined;
  try {
    const plan = await askPlan(session, bundle.plugin, { signal });
    // It is live already: the agent says so without a byte.
    if (plan.versions[0]?.tree === bundle.tree) return undefined;
    return await packMissing(bundle, plan, signal);
  } catch (error) {
    if (signal?.aborted === true || (error instanceof Fault && isNotReached(error))) throw error;
    return undefined;
  }
}

/** What an agent has of a plugin. `listBytes`: what its list took. */
export type AskedPlan = Planned & { answer: Result<'install.plan'>; listBytes: number };

/**
 * Asks an agent what it has of a plugin.
 *
 * @param options `loaded`: also ask what counts as loaded. @throws Fault as `request`; what a list throws that is none.
 */
export async function askPlan(
  session: Session,
  plugin: string,
  { loaded, signal }: { loaded?: true; signal?: AbortSignal | undefined } = {},
): Promise<AskedPlan> {
  const params = { plugin, ...(loaded === undefined ? {} : { loaded }) };
  const answer = await session.call('install.plan', params, { signal });
  if (answer.stream === undefined) return { answer, versions: [], loaded: undefined, listBytes: 0 };
  const parts: Uint8Array[] = [];
  let listBytes = 0;
  for await (const chunk of session.receive(answer.stream)) {
    listBytes += chunk.length;
    if (listBytes > LIST_MAX_BYTES) throw new Fault('INTERNAL', 'The list of files has no end');
    parts.push(chunk);
  }
  const text = await promisify(gunzip)(Buffer.concat(parts), { maxOutputLength: 4 * LIST_MAX_BYTES });
  return { answer, listBytes, ...readPlanned(text.toString('utf8')) };
}

const sizeOf = (files: readonly FileEntry[]): number => files.reduce((sum, { size }) => sum + size, 0);

/** Packs what the agent lacks. @returns undefined if the agent has no version, or if it would not pay. */
export async function packMissing(
  { plugin, parts, size, tree }: Bundle,
  { versions, listBytes }: Pick<AskedPlan, 'versions' | 'listBytes'>,
  signal: AbortSignal | undefined,
): Promise<DeltaBundle | undefined> {
  const list = parts?.list ?? [];
  const plan = planDelta(list, versions);
  if (parts === undefined || plan === undefined) return undefined;
  const first = JSON.stringify(plan.list);
  const all = sizeOf(list);
  const missing = sizeOf(list.filter(({ path }) => plan.missing.has(path)));
  if (missing > all * PART_MAX || first.length > DELTA_LIST_MAX_BYTES / 4) return undefined;
  const { directory, dispose } = await makeTemporary('airlock-delta-');
  try {
    const file = `${directory}/delta.tgz`;
    const packed = await compress(parts.blocks(first, plan.missing), file, signal);
    if (packed.size + listBytes > size / 2) {
      await dispose();
      return undefined;
    }
    return {
      sent: { plugin, file, ...packed, tree },
      base: plan.list.base,
      copied: all - missing,
      result: { files: plan.missing.size, bytes: packed.size + listBytes, of: size },
      dispose,
    };
  } catch (error) {
    await dispose().catch(() => undefined);
    throw error;
  }
}
