/** Says what a push would do, before a byte of the bundle is sent. */
import { Fault } from '../shared/api/fault.ts';
import { type Basis, classifyLoaded, type Reload, reloadOf } from '../shared/rule/classify.ts';
import { shortDigest } from '../shared/format/delta.ts';
import { createIgnore } from '../shared/format/tree.ts';
import type { Bundle } from './bundle.ts';
import { type AskedPlan, askPlan, knowsDeltas, mayPay, packMissing } from './delta.ts';
import type { PushOptions } from './push.ts';
import type { Session } from './session.ts';

/** What a push would do. */
export type PushPlan = {
  plugin: string;
  /** `present`: the same tree is live, so nothing would be sent unless its files were edited in place. */
  status: 'planned' | 'present';
  /** The version that is live and known; null: none. */
  installId: string | null;
  tree: string;
  /** The files that would be sent; the bytes that it would take, with the list of the agent; the bytes of the whole bundle. */
  sent: { files: number; bytes: number; of: number; list: number };
  /** The bytes that would be written to the disk of the root, and how many may still be. Data that files share is not counted. */
  room: { needed: number; free: number };
  reload: Reload;
};

/**
 * Asks an agent what a push of this bundle would send, which room it would need, and what it would mean for the runtime.
 * Nothing is changed. The verdict compares digests of 16 hex digits; that of the install itself compares all of them.
 *
 * @param options as for the push.
 * @throws Fault INVALID_PARAMS for a bundle whose files are not known (`packDirectory` makes one whose are), or for an agent
 *   that plans no installs; as `request`.
 *
 * @example const { sent, room, reload } = await planPush(session, await packDirectory('./lint'));
 */
export async function planPush(
  session: Session,
  bundle: Bundle,
  options: Pick<PushOptions, 'delta' | 'force' | 'restart' | 'signal'> = {},
): Promise<PushPlan> {
  const { plugin, parts, tree, size, bytes = 0 } = bundle;
  const { delta, force, restart, signal } = options;
  if (parts === undefined || tree === undefined) {
    throw new Fault('INVALID_PARAMS', `The files of the bundle of "${plugin}" are not known`, {
      hint: 'Plan the push of the directory of the plugin',
    });
  }
  if (!knowsDeltas(session)) {
    throw new Fault('INVALID_PARAMS', `The agent ${session.hello.agent} plans no installs`, {
      hint: 'Install a newer agent, or ask only what it would mean for the runtime (airlock classify)',
    });
  }
  const asked = await askPlan(session, plugin, { loaded: true, signal });
  const { answer, versions, listBytes } = asked;
  const isPresent = force !== true && versions[0]?.tree === tree;
  const wanted = force === true ? false : delta;
  const isTried = !isPresent && mayPay(session, bundle, wanted);
  const packed = isTried ? await packMissing(bundle, asked, signal) : undefined;
  await packed?.dispose().catch(() => undefined);
  const shared = answer.shares === true ? (packed?.copied ?? 0) : 0;
  const list = isTried ? listBytes : 0;
  const whole = { files: parts.list.length, bytes: size + list, of: size };
  const sent = isPresent ? { files: 0, bytes: 0, of: size } : (packed?.result ?? whole);
  return {
    plugin,
    status: isPresent ? 'present' : 'planned',
    installId: answer.installId,
    tree,
    sent: { ...sent, list },
    room: { needed: isPresent ? 0 : bytes - shared, free: answer.free },
    reload: judge(asked, parts, restart !== false && !isPresent),
  };
}

/** Compares the files with what counts as loaded, as an install does. */
function judge(
  { answer, versions, loaded }: AskedPlan,
  { list, hotReload }: NonNullable<Bundle['parts']>,
  restart: boolean,
): Reload {
  const files = loaded?.files ?? versions[0]?.files;
  const why = answer.loaded?.why ?? 'the agent does not say which files are loaded';
  const basis: Basis =
    loaded === undefined || files === undefined
      ? { kind: 'unknown', why }
      : { kind: 'tree', list: files, edited: loaded.edited };
  const ignore = createIgnore(answer.loaded?.ignore ?? []);
  const after = list.map((file) => ({ ...file, sha256: shortDigest(file.sha256) }));
  return reloadOf(classifyLoaded(basis, after, { hotReload, ignore }), restart);
}
