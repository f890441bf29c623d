/** Decides for one plugin whether it is there as it is declared, and what has to be done. Pure. */
import type { Declared } from '../format/lock-file.ts';

/** A closed list. */
export const reconcileStates = [
  /** It is there as declared, or nothing shows that it is another version. */
  'present',
  /** Nothing is live. */
  'missing',
  /** Another version is live. */
  'stale',
  /** It is the declared version, and files were edited in place. */
  'drifted',
  /** There is a directory that no marker vouches for. */
  'unmarked',
  /** It would have to be changed, and somebody has held it or has rolled that version back. */
  'held',
  /** It is live and not declared. */
  'unmanaged',
] as const;
export type ReconcileState = (typeof reconcileStates)[number];

/** `adopt`: mark what is there, if its files are as declared; else deliver. `deliver`: install the declared version. */
export const reconcileActions = ['none', 'adopt', 'deliver'] as const;
export type ReconcileAction = (typeof reconcileActions)[number];

/** What is live under the name of a plugin. */
export type LiveFacts =
  | { is: 'absent' }
  /** `manifest`: what could be adopted, and the version that it says; absent: nothing could. */
  | { is: 'unmarked'; manifest?: { version: string | undefined } | undefined }
  /** Undefined facts are not known. */
  | {
      is: 'marked';
      tree: string | undefined;
      bundle: string | undefined;
      /** Only the sender of a delta has said that it is this bundle. */
      bundleUnread?: boolean | undefined;
      version: string | undefined;
      /** The number of files that were edited in place. */
      drift: number;
    };

/** Why changes of the plugin are refused. */
export type Held = {
  /** The reason of a hold. */
  held?: string | undefined;
  /** The version that was rolled back. */
  refused?: { tree: string; bundle: string; at: string } | undefined;
};

export type ReconcileDecision = {
  state: ReconcileState;
  action: ReconcileAction;
  /** Why it is so, where the state does not say it. */
  detail?: string;
};

/** What a manifest without a version counts as. */
const NO_VERSION = '0.0.0';

/**
 * Decides for a declared plugin. In doubt whether a plugin is there it is delivered. In doubt whether it is another version it
 * is present: otherwise it would be delivered again each time.
 *
 * @param repair whether edited files are replaced.
 */
export function reconcilePlugin(
  declared: Declared,
  found: LiveFacts,
  holding: Held,
  repair: boolean,
): ReconcileDecision {
  const decision = decide(declared, found, repair);
  const why = decision.action === 'none' ? undefined : refusalOf(declared, holding);
  return why === undefined ? decision : { state: 'held', action: 'none', detail: why };
}

function decide(declared: Declared, found: LiveFacts, repair: boolean): ReconcileDecision {
  switch (found.is) {
    case 'absent':
      return { state: 'missing', action: 'deliver' };
    case 'unmarked':
      return { state: 'unmarked', action: mayAdopt(declared, found.manifest) ? 'adopt' : 'deliver' };
    case 'marked': {
      const { same, detail } = compare(declared, found);
      if (same === false) {
        return { state: 'stale', action: 'deliver', ...(detail === undefined ? {} : { detail }) };
      }
      if (found.drift > 0) {
        const files = `${found.drift} ${found.drift === 1 ? 'file was' : 'files were'} edited in place`;
        return { state: 'drifted', action: repair ? 'deliver' : 'none', detail: files };
      }
      return { state: 'present', action: 'none', ...(detail === undefined ? {} : { detail }) };
    }
    default:
      return found satisfies never;
  }
}

/** `same` is undefined if it is not known. */
function compare(
  { tree, bundle, version }: Declared,
  found: LiveFacts & { is: 'marked' },
): { same: boolean | undefined; detail?: string } {
  if (tree !== undefined && found.tree !== undefined) {
    return { same: tree === found.tree };
  }
  if (tree === undefined && bundle !== undefined && found.bundle !== undefined) {
    // Its delivery reads the bundle, so the same is not found again each time.
    return bundle === found.bundle && found.bundleUnread === true
      ? {
          same: false,
          detail: 'a delta came instead of this bundle, and only its sender says that it is the same',
        }
      : { same: bundle === found.bundle };
  }
  if (version !== undefined && found.version !== undefined && found.version !== NO_VERSION) {
    return version === found.version
      ? { same: true }
      : { same: false, detail: `version ${found.version} is live` };
  }
  const isNamed = tree !== undefined || bundle !== undefined || version !== undefined;
  return isNamed
    ? { same: undefined, detail: 'it is not known whether it is the declared version' }
    : { same: true };
}

/** With a declared tree the files themselves decide, when it is done. */
function mayAdopt(
  { tree, bundle, version }: Declared,
  manifest: { version: string | undefined } | undefined,
): boolean {
  if (manifest === undefined) {
    return false;
  }
  if (tree !== undefined) {
    return true;
  }
  return version === undefined ? bundle === undefined : version === manifest.version;
}

/** The same rule as that of an install. */
function refusalOf({ tree, bundle }: Declared, { held, refused }: Held): string | undefined {
  if (held !== undefined) {
    return `it is held: ${held}`;
  }
  const isRefused =
    refused !== undefined &&
    ((tree !== undefined && tree === refused.tree) || (bundle !== undefined && bundle === refused.bundle));
  return isRefused ? `this version was rolled back at ${refused.at}` : undefined;
}
