/** The checks before any byte is received: is the install allowed, is the version live already, is there room. */
import { Fault } from '../../shared/api/fault.ts';
import { sentOf } from '../../shared/api/install.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Marker } from '../../shared/format/marker.ts';
import type { Receipt } from '../../shared/format/receipt.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { StoreContext } from '../store/context.ts';
import { verifyPlugin } from '../store/inspect.ts';
import { markerAt, liveVersionOf } from '../store/marker.ts';
import { readLive } from '../store/read-live.ts';
import { receiptOf, stateOf } from '../store/records.ts';
import { sharesData } from '../store/shares.ts';

/** The free space that must remain beside the bundle. */
const SPARE_BYTES = 1024 * 1024;

/** The parameters that are checked before a plugin is changed. An install also has its bundle and, if known, its tree. */
export type ChangeParams = Pick<BeginParams, 'plugin' | 'expect' | 'force' | 'tree'> & {
  bundle?: { sha256: string };
};

/**
 * @throws Fault HELD (INTERNAL if the state cannot be read), or CONFLICT if another version is live than the caller
 *   expects.
 */
export function refuseUnwanted(
  context: StoreContext,
  { plugin, expect, force, tree, bundle }: ChangeParams,
): void {
  const state = stateOf(context, plugin);
  if (state === undefined && force !== true) {
    throw new Fault(
      'INTERNAL',
      `The state of "${plugin}" cannot be read: it may say that the plugin is held`,
      {
        hint: `Correct or remove ${context.layout.stateOf(plugin)}, or force the change`,
      },
    );
  }
  if (state?.held !== undefined && force !== true) {
    throw new Fault('HELD', `"${plugin}" is held: ${state.held}`, {
      hint: 'Release it, or force the change',
    });
  }
  const refused = state?.refused;
  const isRefused =
    refused !== undefined &&
    (refused.tree === tree || (bundle !== undefined && refused.bundle === `sha256:${bundle.sha256}`));
  if (isRefused && force !== true) {
    throw new Fault('HELD', `This version of "${plugin}" was rolled back at ${refused.at}`, {
      hint: 'Install another version, or this one with force',
    });
  }
  if (expect === undefined) {
    return;
  }
  const live = liveVersionOf(context, plugin);
  const isExpected = expect.installId === null ? live === null : live?.installId === expect.installId;
  if (!isExpected) {
    const found = live === null ? 'nothing' : (live.installId ?? 'a version that has no id');
    throw new Fault('CONFLICT', `Expected ${expect.installId ?? 'nothing'} to be live, found ${found}`, {
      hint: 'Compare with what is live now, then try again',
    });
  }
}

/** The receipt of the live version, if it is the requested bundle or tree and every file is as installed. */
export function findPresent(context: StoreContext, params: BeginParams): Receipt | undefined {
  const { plugin, bundle, tree, pin, force } = params;
  const marker = force === true ? undefined : markerAt(context, context.layout.live(plugin));
  // The marker has these fields too, and is smaller than the receipt, which lists every file.
  if (marker === undefined || (!isOfBundle(marker, bundle) && marker.tree !== tree)) {
    return undefined;
  }
  const receipt = receiptOf(context, plugin, marker.installId);
  if (receipt === undefined) {
    return undefined;
  }
  // A request that declares another tree or manifest is refused, as it would be without a live version.
  if ((tree !== undefined && receipt.tree !== tree) || !hasPin(context, receipt, pin)) {
    return undefined;
  }
  if (!hasLinksAsAsked(receipt, params)) {
    return undefined;
  }
  return verifyPlugin(context, plugin).verdict === 'intact' ? receipt : undefined;
}

/** Whether a version was unpacked from a bundle. What only a sender has said of its delta proves nothing. */
const isOfBundle = (
  { bundle, bundleUnread }: Pick<Marker, 'bundle' | 'bundleUnread'>,
  { sha256 }: BeginParams['bundle'],
): boolean => bundleUnread !== true && bundle === `sha256:${sha256}`;

/** Whether the links of the bundle would become what they have become in the live version. In doubt the bytes are read. */
function hasLinksAsAsked(
  receipt: Receipt,
  { bundle, links = 'copy' }: Pick<BeginParams, 'bundle' | 'links'>,
): boolean {
  const known = isOfBundle(receipt, bundle) ? receipt.bundleLinks : undefined;
  return known === undefined ? links !== 'refuse' : known === 'none' || known === links;
}

function hasPin(context: StoreContext, { plugin, list }: Receipt, pin: string | undefined): boolean {
  if (pin === undefined) {
    return true;
  }
  const { manifest } = readLive(context, plugin, false);
  const sha256 = list.find(({ path }) => path === manifest?.file)?.sha256;
  return pin === `sha256:${sha256 ?? ''}`;
}

/**
 * Asks for room for what is known to be written: at least the bytes that are sent, and the whole tree if the caller has
 * declared its size. What a delta takes counts unless it shares its data with the version that has it.
 *
 * @throws Fault TOO_LARGE, NO_SPACE
 */
export function askForRoom(context: StoreContext, params: BeginParams): void {
  const { layout, policy } = context;
  const bundle = sentOf(params);
  if (bundle.size > policy.maxPacked) {
    throw new Fault(
      'TOO_LARGE',
      `The bundle has ${bundle.size} bytes, at most ${policy.maxPacked} are accepted`,
      {
        hint: 'Leave out what the plugin does not need; the owner can raise AIRLOCK_MAX_PACKED',
      },
    );
  }
  const { plugin, delta, unpacked = 0 } = params;
  const copied = delta?.copied ?? 0;
  const shared = copied > 0 && sharesData(context, layout.live(plugin)) ? copied : 0;
  const needed = Math.max(bundle.size, unpacked - shared);
  refuseWithoutRoom(
    context,
    needed,
    unpacked > bundle.size ? 'The files of the plugin have' : 'The bundle has',
  );
}

/** @param what has so many bytes: the beginning of a sentence. @throws Fault NO_SPACE */
export function refuseWithoutRoom({ disk, layout }: StoreContext, bytes: number, what: string): void {
  let space: number;
  try {
    space = disk.space(layout.root);
  } catch (error) {
    throw diskFault(error, 'Asking for free space');
  }
  if (space < bytes + SPARE_BYTES) {
    throw new Fault('NO_SPACE', `${what} ${bytes} bytes, and only ${space} are free`, {
      hint: 'Free some space on the file system of the root, then try again',
      executed: 'no',
    });
  }
}

/** @throws Fault DIGEST_MISMATCH if the bytes differ from what was declared. */
export function checkBundle(params: BeginParams, received: number, sha256: string): void {
  const bundle = sentOf(params);
  if (received !== bundle.size) {
    throw new Fault('DIGEST_MISMATCH', `${received} bytes came in, but ${bundle.size} were declared`, {
      hint: 'Send the whole bundle, and declare its real size',
    });
  }
  if (sha256 !== bundle.sha256) {
    throw new Fault(
      'DIGEST_MISMATCH',
      `The bundle has the sha256 ${sha256}, but ${bundle.sha256} was declared`,
      {
        hint: 'The bytes were altered on the way or the declaration is wrong: send it again',
      },
    );
  }
}
