/**
 * Compares the declared plugins with those that are live. It looks at files as a list does: it reads only those that are newer
 * than their install.
 */
import { errorCode, Fault, toFault } from '../../shared/api/fault.ts';
import type { Reconciled } from '../../shared/api/reconcile.ts';
import { type Declared, doubleOf } from '../../shared/format/lock-file.ts';
import { type Marker, readMarker } from '../../shared/format/marker.ts';
import { isPluginName } from '../../shared/format/name.ts';
import type { PluginState } from '../../shared/format/state.ts';
import { type Found, judge } from '../../shared/rule/admission.ts';
import { type LiveFacts, type ReconcileDecision, reconcilePlugin } from '../../shared/rule/reconcile.ts';
import { diskFault } from '../disk/disk-fault.ts';
import type { StoreContext } from './context.ts';
import { listedDrift, liveNames } from './inspect.ts';
import { markerAt } from './marker.ts';
import { readLive } from './read-live.ts';
import { stateOf } from './records.ts';

/**
 * What was found about each declared plugin, in their order, and about each live one that is not declared, by name.
 *
 * @param repair whether plugins with edited files are to be delivered.
 * @throws Fault INVALID_PARAMS if a name is declared twice; INTERNAL if the root cannot be listed.
 */
export function planReconcile(
  context: StoreContext,
  { declared, repair }: { declared: readonly Declared[]; repair: boolean },
): Reconciled[] {
  const double = doubleOf(declared);
  if (double !== undefined) {
    throw new Fault('INVALID_PARAMS', `"${double}" is declared twice`, { hint: 'Declare each plugin once' });
  }
  const managed = new Set(declared.map(({ name }) => name));
  const others = namesIn(context).filter((name) => !managed.has(name));
  return [
    ...declared.map((one) => planOne(context, one, repair)),
    ...others.flatMap((name) => unmanaged(context, name)),
  ];
}

function namesIn(context: StoreContext): string[] {
  try {
    return [...liveNames(context)].filter(isPluginName).toSorted();
  } catch (error) {
    // A root that is not there yet holds nothing.
    if (errorCode(error) === 'ENOENT') return [];
    throw diskFault(error, 'Listing the plugins');
  }
}

function planOne(context: StoreContext, declared: Declared, repair: boolean): Reconciled {
  const { name } = declared;
  try {
    const state = stateOf(context, name);
    const live = lookAt(context, name, state);
    const decide = (facts: LiveFacts): ReconcileDecision =>
      reconcilePlugin(declared, facts, state ?? {}, repair);
    const asInstalled = decide(live.facts);
    // Only what would otherwise be present is searched for edits.
    const drift = asInstalled.state === 'present' ? driftIn(context, name, live) : 0;
    const decision = drift > 0 ? decide({ ...live.facts, drift } as LiveFacts) : asInstalled;
    const detail = decision.detail ?? live.refusal;
    return {
      name,
      ...decision,
      ...(detail === undefined ? {} : { detail }),
      ...(decision.state === 'present' ? brief(live.said) : live.said),
    };
  } catch (error) {
    // In doubt it is delivered, and the install says what is wrong.
    const { message } = toFault(error, `Looking at "${name}"`);
    return { name, state: 'unmarked', action: 'deliver', detail: message };
  }
}

function unmanaged(context: StoreContext, name: string): Reconciled[] {
  const row = { name, state: 'unmanaged', action: 'none' } as const;
  try {
    const live = lookAt(context, name, stateOf(context, name));
    if (live.facts.is === 'absent') {
      return [];
    }
    const drift = driftIn(context, name, live);
    const edited =
      drift > 0 ? `${drift} ${drift === 1 ? 'file was' : 'files were'} edited in place` : undefined;
    const detail = edited ?? live.refusal;
    return [{ ...row, ...(detail === undefined ? {} : { detail }), ...live.said }];
  } catch (error) {
    return [{ ...row, detail: toFault(error, `Looking at "${name}"`).message }];
  }
}

/** What a row says about the live version. */
type Said = Pick<Reconciled, 'installId' | 'version' | 'tree' | 'bundle' | 'source'>;

const brief = ({ installId, version }: Said): Said => ({
  ...(installId === undefined ? {} : { installId }),
  ...(version === undefined ? {} : { version }),
});

type Live = {
  facts: LiveFacts;
  said: Said;
  /** Why the gate refuses it. */
  refusal: string | undefined;
};

const driftIn = (context: StoreContext, name: string, { said }: Live): number =>
  said.installId === undefined ? 0 : listedDrift(context, name, said.installId);

function lookAt(context: StoreContext, name: string, state: PluginState | undefined): Live {
  const isDisabled = state?.disabled === true;
  const marker = ownMarker(context, name);
  if (marker !== undefined) {
    return { ...markedAs(marker), refusal: isDisabled ? 'it is disabled' : undefined };
  }
  const { runtime, manifest } = context.policy;
  const found = readLive(context, name, isDisabled);
  if (found.entry === 'absent') {
    return { facts: { is: 'absent' }, said: {}, refusal: undefined };
  }
  const judgement = judge(found, { mode: 'enforce', runtime, manifest });
  const refusal =
    judgement.admitted || judgement.reason === 'no-marker'
      ? undefined
      : `the gate refuses it (${judgement.reason}): ${judgement.detail}`;
  return { ...factsOf(context, found), refusal };
}

/** The full marker of a live directory. Where it says all, the manifest need not be read. */
function ownMarker(context: StoreContext, name: string): Marker | undefined {
  const live = context.layout.live(name);
  const marker = context.disk.stat(live)?.kind === 'directory' ? markerAt(context, live) : undefined;
  return marker?.plugin === name ? marker : undefined;
}

function markedAs({
  pluginVersion: version,
  installId,
  tree,
  bundle: noted,
  bundleUnread,
  source,
}: Marker): Pick<Live, 'facts' | 'said'> {
  // An adopted tree came in no bundle, and its own digest stands in the place of one.
  const bundle = noted === tree ? undefined : noted;
  return {
    facts: { is: 'marked', tree, bundle, bundleUnread, version, drift: 0 },
    said: {
      installId,
      version,
      tree,
      ...(bundle === undefined ? {} : { bundle }),
      ...(source === undefined ? {} : { source }),
    },
  };
}

function factsOf(context: StoreContext, found: Found): Pick<Live, 'facts' | 'said'> {
  const { runtime, manifest: needs } = context.policy;
  const marker = found.marker.kind === 'text' ? readMarker(found.marker.text) : undefined;
  if (marker?.kind === 'full' && marker.marker.plugin === found.name) {
    // It has come since its marker was looked for.
    return markedAs(marker.marker);
  }
  // A disabled plugin can be adopted too.
  const lenient = judge({ ...found, disabled: false }, { mode: 'warn', runtime, manifest: needs });
  const manifest = lenient.admitted ? lenient.manifest : undefined;
  const version = manifest === undefined ? {} : { version: manifest.version };
  if (marker?.kind === 'newer' && marker.plugin === found.name) {
    return {
      facts: { is: 'marked', tree: undefined, bundle: undefined, version: manifest?.version, drift: 0 },
      said: { installId: marker.installId, ...version },
    };
  }
  const isWhole = lenient.admitted && lenient.level !== 'verified';
  return {
    facts: { is: 'unmarked', ...(isWhole ? { manifest: { version: manifest?.version } } : {}) },
    said: version,
  };
}
