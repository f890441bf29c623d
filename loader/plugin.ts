/** The answers of the loader: admitted plugins, and why others were refused. */
import type { AdmissionLevel, Refused } from '../shared/rule/admission.ts';
import type { Manifest } from '../shared/format/manifest.ts';
import type { Marker } from '../shared/format/marker.ts';

/**
 * An admitted plugin, as it was at one moment. It is frozen: the loader returns the same object again while nothing
 * changes. All paths are absolute.
 */
export type Plugin = {
  readonly name: string;
  /** The root in which it was found. */
  readonly root: string;
  /** Its directory: `<root>/<name>`. */
  readonly path: string;
  /** `verified`: a full marker. `unverified`: an empty one. `unmarked`: none, admitted by mode `warn`. */
  readonly level: AdmissionLevel;
  /** Undefined only if plugins without one are allowed. */
  readonly manifest: Manifest | undefined;
  /** Undefined for an empty marker, none, or one of a newer format. */
  readonly marker: Marker | undefined;
  /**
   * Identifies the version: the installId, or without one `dir-…`, made of the directory's identity and the time of its
   * marker. It stays while nothing changes. It changes with each install and each `touch .complete`.
   */
  readonly generation: string;
  /** `rules/*.md`, sorted. */
  readonly rules: readonly string[];
  /** `*.md` beside the manifest, sorted; without README, CHANGELOG, LICENSE, CONTRIBUTING and SKILL.md. */
  readonly promptFragments: readonly string[];
  /** `skills/`, if it is a directory. */
  readonly skillsDir: string | undefined;
  /** `settings-fragment.json`, if it is a file. */
  readonly settingsFragment: string | undefined;
  /** `mcp.json` of an Agent Plugin, if it is a file; see {@link mcpServersOf}. */
  readonly mcpConfig: string | undefined;
  /**
   * What the runtime gives the plugin's processes as environment, and puts in the place of `${NAME}` in its settings:
   * `PLUGIN_ROOT` and `PLUGIN_DATA` of an Agent Plugin, `CLAUDE_PLUGIN_ROOT` and `CLAUDE_PLUGIN_DATA` of one of Claude
   * Code; else nothing. They hold `path` and `dataDir`.
   */
  readonly variables: Readonly<Record<string, string>>;
  /**
   * The directory for the plugin's own data. No install touches it, and it need not exist yet. It is beside the *first*
   * root, in whichever root the plugin was found, because shared roots are not writable.
   */
  readonly dataDir: string;
  /** What people should know about it although it was admitted. */
  readonly warnings: readonly string[];
};

/** A plugin that was refused: why, in `reason` and `detail`, and what to do about it, in `hint`. */
export type Refusal = Refused & { readonly root: string };

/** The answer of the gate. If all roots refuse, it is the answer of the first root that has an entry of that name. */
export type GateAnswer =
  | {
      readonly admitted: true;
      readonly plugin: Plugin;
      /** The refusals under the same name in the roots before the plugin's root. */
      readonly passedOver: readonly Refusal[];
    }
  | Refusal;

/** A plugin in a later root that is hidden by the admitted one of the same name in root `by`. It was not judged. */
export type Shadowed = { readonly name: string; readonly root: string; readonly by: string };

/** All plugins in the roots. Each list is sorted by name, then by the order of the roots. */
export type Scan = {
  /** One for each name. */
  readonly admitted: readonly Plugin[];
  /** Includes names that a later root admits. */
  readonly refused: readonly Refusal[];
  readonly shadowed: readonly Shadowed[];
  /**
   * The roots that could not be listed, and why: their plugins may be missing above. And the plugins that are mounted by
   * themselves below a root: their updates do not arrive.
   */
  readonly warnings: readonly string[];
};

/** The answer of one root about one name. */
export type Verdict =
  | { kind: 'absent' }
  | { kind: 'admitted'; plugin: Plugin }
  | { kind: 'refused'; refusal: Refusal };
