/** Sends only the files of a bundle that the agent lacks. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { Fault } from '../shared/api/fault.ts';
import { DELTA_LIST_MAX_BYTES, type PlannedVersion, readPlanned } from '../shared/format/delta.ts';
import { planDelta } from '../shared/rule/delta.ts';
import type { Bundle } from './bundle.ts';
import { compress } from './pack/compress.ts';
import { isNotReached } from './reach.ts';
import type { Session } from './session.ts';
import { makeTemporary } from './temporary.ts';

/** A delta is tried for bundles of at least so many bytes. Smaller ones are sent before an answer would be there. */
const BUNDLE_MIN_BYTES = 128 * 1024;
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
  result: DeltaResult;
  dispose: () => Promise<void>;
};

/**
 * Asks the agent which files it has, and packs the others.
 *
 * @returns undefined if the whole bundle is to be sent: the agent knows no deltas or has no version, or it would not pay.
 * @throws Fault UNREACHABLE; CANCELLED by the signal. Anything else is no reason not to send the whole bundle.
 */
export async function packDelta(
  session: Session,
  bundle: Bundle,
  signal: AbortSignal | undefined,
): Promise<DeltaBundle | undefined> {
  const { plugin, parts, size, tree } = bundle;
  const mayPay =
    parts !== undefined &&
    tree !== undefined &&
    size >= BUNDLE_MIN_BYTES &&
    parts.list.length * LISTED_BYTES <= size * PART_MAX;
  if (!mayPay || !session.hello.capabilities.includes('delta')) return undefined;
  try {
    const { stream } = await session.call('install.plan', { plugin }, { signal });
    if (stream === undefined) return undefined;
    const { versions, bytes } = await readList(session.receive(stream));
    // It is live already: the agent says so without a byte.
    if (versions[0]?.tree === tree) return undefined;
    return await packMissing(bundle, { versions, bytes }, signal);
  } catch (error) {
    if (signal?.aborted === true || (error instanceof Fault && isNotReached(error))) throw error;
    return undefined;
  }
}

type Listed = { versions: PlannedVersion[]; bytes: number };

async function readList(chunks: AsyncIterable<Uint8Array>): Promise<Listed> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > LIST_MAX_BYTES) throw new Fault('INTERNAL', 'The list of files has no end');
    parts.push(chunk);
  }
  const text = await promisify(gunzip)(Buffer.concat(parts), { maxOutputLength: 4 * LIST_MAX_BYTES });
  return { versions: readPlanned(text.toString('utf8')), bytes };
}

async function packMissing(
  { plugin, parts, size, tree }: Bundle,
  { versions, bytes: listed }: Listed,
  signal: AbortSignal | undefined,
): Promise<DeltaBundle | undefined> {
  const list = parts?.list ?? [];
  const plan = planDelta(list, versions);
  if (parts === undefined || plan === undefined) return undefined;
  const first = JSON.stringify(plan.list);
  const sizeOf = (files: typeof list): number => files.reduce((sum, file) => sum + file.size, 0);
  const missing = sizeOf(list.filter(({ path }) => plan.missing.has(path)));
  if (missing > sizeOf(list) * PART_MAX || first.length > DELTA_LIST_MAX_BYTES / 4) return undefined;
  const { directory, dispose } = await makeTemporary('airlock-delta-');
  try {
    const file = `${directory}/delta.tgz`;
    const packed = await compress(parts.blocks(first, plan.missing), file, signal);
    if (packed.size + listed > size / 2) {
      await dispose();
      return undefined;
    }
    return {
      sent: { plugin, file, ...packed, tree },
      base: plan.list.base,
      result: { files: plan.missing.size, bytes: packed.size + listed, of: size },
      dispose,
    };
  } catch (error) {
    await dispose().catch(() => undefined);
    throw error;
  }
}
