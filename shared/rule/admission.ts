/**
 * The decision of the gate, without the disk: from the facts about a plugin's directory to admitted or refused. The
 * loader uses it for the runtime, the agent for `plugin.list`, so both always agree.
 */
import {
  MANIFESTS_SAID,
  type Manifest,
  type ManifestFile,
  readManifest,
  runtimeName,
  supportsRuntime,
} from '../format/manifest.ts';
import type { FileReading } from '../format/layout.ts';
import { type Marker, readMarker } from '../format/marker.ts';

/** Why the gate refuses a plugin. A closed list; {@link hintFor} has the hint for each. */
export const refusalReasons = [
  'no-marker',
  'marker-invalid',
  'marker-foreign',
  'manifest-missing',
  'manifest-invalid',
  'not-a-directory',
  'symlink',
  'unreadable',
  'runtime-unsupported',
  'digest-mismatch',
  'disabled',
  'in-transition',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** `verified`: a full marker. `unverified`: an operator's `touch`. `unmarked`: no marker, admitted by mode `warn`. */
export type AdmissionLevel = 'verified' | 'unverified' | 'unmarked';

/** The facts on the disk about a plugin's name. */
export type Found = {
  name: string;
  entry: 'directory' | 'symlink' | 'other' | 'absent' | 'unreadable';
  marker: FileReading;
  /** The first manifest file that exists; undefined if there is none. */
  manifest: { file: ManifestFile; reading: FileReading } | undefined;
  disabled: boolean;
  /** The root was written without syncs before the machine was restarted: files and markers may be empty. */
  unsynced: boolean;
};

export type Policy = {
  mode: 'enforce' | 'warn';
  runtime: string | undefined;
  manifest: 'required' | 'optional';
};

export type Refused = { admitted: false; name: string; reason: RefusalReason; detail: string; hint: string };
export type AdmissionDecision =
  | {
      admitted: true;
      name: string;
      level: AdmissionLevel;
      /** Undefined for an empty marker, none, or one of a newer format. */
      marker: Marker | undefined;
      /** The install that is live; undefined for an empty marker or none. */
      installId: string | undefined;
      /** Undefined only if the owner allows plugins without one. */
      manifest: Manifest | undefined;
      warnings: string[];
    }
  | Refused;

/** What to do about a refusal, in a sentence for people. */
export function hintFor(reason: RefusalReason, name: string): string {
  switch (reason) {
    case 'no-marker':
      return `Install it with "airlock push", or, if you know that "${name}" is whole, adopt it: "airlock adopt ${name}"`;
    case 'marker-invalid':
      return `Install "${name}" again; if you know that it is whole: make ${name}/.complete an empty file`;
    case 'marker-foreign':
      return `Somebody copied a directory: install "${name}" under its own name instead`;
    case 'manifest-missing':
      return `Add ${MANIFESTS_SAID} at the root of the plugin`;
    case 'manifest-invalid':
      return 'Correct the manifest where it was packed and install the plugin again';
    case 'not-a-directory':
      return `Move "${name}" away: a plugin is a directory`;
    case 'symlink':
      return `Replace the link "${name}" by an installed plugin: links are not followed`;
    case 'unreadable':
      return 'Check owner and permissions of the plugin and the directories above it, and that its texts are UTF-8';
    case 'runtime-unsupported':
      return 'Use a version of the plugin that lists this runtime, or leave the plugin out';
    case 'digest-mismatch':
      return `See the files with "airlock verify ${name}", then install it again, or keep the edits`;
    case 'disabled':
      return `It was disabled on purpose: "airlock enable ${name}" admits it again`;
    case 'in-transition':
      return 'A swap is under way: ask again in a moment';
    default:
      return reason satisfies never;
  }
}

/** A refusal with its hint. */
export function refuse(name: string, reason: RefusalReason, detail: string): Refused {
  return { admitted: false, name, reason, detail, hint: hintFor(reason, name) };
}

/** Judges the facts. Pure and total. */
export function judge(found: Found, policy: Policy): AdmissionDecision {
  const { name } = found;
  const no = (reason: RefusalReason, detail: string): Refused => refuse(name, reason, detail);
  switch (found.entry) {
    case 'absent':
      return no('not-a-directory', 'There is nothing of that name');
    case 'symlink':
      return no('symlink', 'It is a symbolic link');
    case 'other':
      return no('not-a-directory', 'It is not a directory');
    case 'unreadable':
      return no('unreadable', 'The directory cannot be read');
    case 'directory':
      break;
    default:
      return found.entry satisfies never;
  }
  if (found.disabled) {
    return no('disabled', 'It is disabled');
  }
  const marking = judgeMarker(found, policy);
  if ('admitted' in marking) {
    return marking;
  }
  const reading = judgeManifest(found, policy);
  if ('admitted' in reading) {
    return reading;
  }
  const { manifest } = reading;
  if (manifest !== undefined && !supportsRuntime(manifest, policy.runtime)) {
    const needs = manifest.runtimes.join(', ');
    const here = runtimeName(policy.runtime ?? '');
    return no('runtime-unsupported', `It runs on ${needs}, but this runtime is ${here}`);
  }
  const warnings = [...marking.warnings, ...reading.warnings];
  return { admitted: true, name, ...marking, manifest, warnings };
}

type Marking = {
  level: AdmissionLevel;
  marker: Marker | undefined;
  installId: string | undefined;
  warnings: string[];
};

function judgeMarker({ name, marker: reading, unsynced }: Found, policy: Policy): Marking | Refused {
  if (reading.kind === 'unreadable') {
    return refuse(name, 'unreadable', `Its marker cannot be read: ${reading.why}`);
  }
  if (reading.kind === 'absent') {
    if (policy.mode === 'enforce') {
      return refuse(name, 'no-marker', 'It has no .complete: it may be half-copied');
    }
    const warnings = ['It has no .complete: admitted unchecked because the gate only warns'];
    return { level: 'unmarked', marker: undefined, installId: undefined, warnings };
  }
  const marker = readMarker(reading.text);
  switch (marker.kind) {
    case 'empty':
      if (unsynced) {
        return refuseVolatile(name);
      }
      return { level: 'unverified', marker: undefined, installId: undefined, warnings: [] };
    case 'invalid':
      return refuse(name, 'marker-invalid', `Its .complete is not a marker: ${marker.why}`);
    case 'full':
    case 'newer': {
      const full = marker.kind === 'full' ? marker.marker : undefined;
      const { plugin, installId } = marker.kind === 'full' ? marker.marker : marker;
      if (plugin !== name) {
        return refuse(name, 'marker-foreign', `Its .complete belongs to "${plugin}"`);
      }
      return { level: 'verified', marker: full, installId, warnings: [] };
    }
    default:
      return marker satisfies never;
  }
}

/** After a restart without syncs, an empty marker may be a full one whose content was lost. */
const refuseVolatile = (name: string): Refused => ({
  ...refuse(
    name,
    'marker-invalid',
    'Its .complete is empty, perhaps because its content was lost: the root was written without syncs before the machine was restarted',
  ),
  hint: `Start the agent, which finds out what was lost; then install "${name}" again, or, if you know that it is whole: touch ${name}/.complete`,
});

type ManifestJudgement = { manifest: Manifest | undefined; warnings: string[] };

function judgeManifest({ name, manifest }: Found, policy: Policy): ManifestJudgement | Refused {
  if (manifest === undefined || manifest.reading.kind === 'absent') {
    return policy.manifest === 'optional'
      ? { manifest: undefined, warnings: [] }
      : refuse(name, 'manifest-missing', 'It has no manifest');
  }
  if (manifest.reading.kind === 'unreadable') {
    return refuse(name, 'unreadable', `${manifest.file} cannot be read: ${manifest.reading.why}`);
  }
  const read = readManifest(manifest.file, manifest.reading.text);
  return read.ok ? read : refuse(name, 'manifest-invalid', `${manifest.file}: ${read.why}`);
}
