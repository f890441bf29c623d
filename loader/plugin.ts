/** What the loader answers: plugins that were admitted, and why others were not. */
import type { AdmissionLevel, Refused } from '../shared/rule/admission.ts';
import type { Manifest } from '../shared/format/manifest.ts';
import type { Marker } from '../shared/format/marker.ts';

/**
 * An admitted plugin, as it lay there at one moment. Frozen: the loader hands out the same object again as long as
 * nothing has changed. All paths are absolute.
 */
export type Plugin = {
  readonly name: string;
  /** The root in which it was found. */
  readonly root: string;
  /** Its directory: `<root>/<name>`. */
  readonly path: string;
  /** `verified`: a full marker. `unverified`: an empty one. `unmarked`: none, let in by mode `warn`. */
  readonly level: AdmissionLevel;
  /** Undefined only where plugins without one are allowed. */
  readonly manifest: Manifest | undefined;
  /** Undefined for an empty marker, none, or one of a newer format. */
  readonly marker: Marker | undefined;
  /**
   * Which version this is: the installId; without one `dir-…`, made of the directory's identity and the time of its
   * marker. The same as long as nothing changes, another one after each install and each `touch .complete`.
   */
  readonly generation: string;
  /** `rules/*.md`, sorted. */
  readonly rules: readonly string[];
  /** `*.md` beside the manifest, sorted; without README, CHANGELOG, LICENSE, CONTRIBUTING and SKILL.md. */
  readonly promptFragments: readonly string[];
  /** `skills/`, where that is a directory. */
  readonly skillsDir: string | undefined;
  /** `settings-fragment.json`, where that is a file. */
  readonly settingsFragment: string | undefined;
  /**
   * What the plugin writes for itself belongs here; no install touches it, and it need not exist yet. It lies beside
   * the *first* root, wherever the plugin was found: shared fallback roots are not to be written to.
   */
  readonly dataDir: string;
  /** What people should know though it was admitted. */
  readonly warnings: readonly string[];
};

/** A plugin that was refused: why, in `reason` and `detail`, and what to do about it, in `hint`. */
export type Refusal = Refused & { readonly root: string };

/** The answer of the gate. Refused by all roots: what the first root says in which there is something of that name. */
export type GateAnswer =
  | {
      readonly admitted: true;
      readonly plugin: Plugin;
      /** What was refused under the same name in the roots before the plugin's. */
      readonly passedOver: readonly Refusal[];
    }
  | Refusal;

/** A plugin in a later root that is hidden by the admitted one of the same name in root `by`. It was not judged. */
export type Shadowed = { readonly name: string; readonly root: string; readonly by: string };

/** All that lies in the roots, each list sorted by name, then in the order of the roots. */
export type Scan = {
  /** One of each name. */
  readonly admitted: readonly Plugin[];
  /** Also those whose name was then admitted from a later root. */
  readonly refused: readonly Refusal[];
  readonly shadowed: readonly Shadowed[];
  /** Roots that could not be listed, and why: their plugins may be missing above. */
  readonly warnings: readonly string[];
};

/** What one root says about one name. */
export type Verdict =
  | { kind: 'absent' }
  | { kind: 'admitted'; plugin: Plugin }
  | { kind: 'refused'; refusal: Refusal };
