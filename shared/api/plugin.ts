/** What answers say about a plugin. */
import * as z from 'zod';

import { markerSchema } from '../format/marker.ts';
import { pendingSchema } from '../format/state.ts';
import { refusalReasons } from '../rule/admission.ts';
import { reloadSchema } from '../rule/classify.ts';
import { truncatedSchema } from '../truncate.ts';
import { faultCodes } from './fault.ts';

/** The answer to an install: the content of the marker, what the change means for the runtime, and what was left out. */
export const installedSchema = markerSchema.omit({ version: true }).extend({
  status: z.enum(['installed', 'present', 'rolled-back']),
  /** The version of the plugin that was replaced, 0.0.0 if it said none; null: nothing was live, or no manifest could be read; absent: nothing was replaced now. */
  replacedVersion: z.string().nullable().optional(),
  reload: reloadSchema,
  warnings: truncatedSchema(z.string()),
});
export type Installed = z.infer<typeof installedSchema>;

/** What a removed version had, by names and paths. */
export const removedParts = {
  /** The names of its skills. */
  skills: truncatedSchema(z.string()).optional(),
  /** The paths of its rules. */
  rules: truncatedSchema(z.string()).optional(),
  /** The paths of its hooks. */
  hooks: truncatedSchema(z.string()).optional(),
};

/** The answer to an uninstall. */
export const uninstalledSchema = z.object({
  plugin: z.string(),
  /** `absent`: there was nothing to remove. */
  status: z.enum(['removed', 'absent']),
  /** The version that was removed; null for one without an id. It is kept as a snapshot, so a rollback brings it back. */
  installId: z.string().nullable(),
  /** Whether the plugin has no data of its own any more, as it was asked. */
  purged: z.boolean(),
  reload: reloadSchema,
  /** Absent: nothing was removed, or its files could not be listed. */
  ...removedParts,
  /** What could not be done, such as a purge; absent: everything was done. */
  warnings: truncatedSchema(z.string()).optional(),
});
export type Uninstalled = z.infer<typeof uninstalledSchema>;

/** The answer to an adoption, or to the question what it would adopt. */
export const adoptedSchema = z.object({
  plugin: z.string(),
  /** `planned`: nothing was changed; `present`: it has a full marker, and its files are as that says. */
  status: z.enum(['planned', 'adopted', 'present']),
  /** The version in its manifest; 0.0.0 if it says none. */
  pluginVersion: z.string(),
  /** Null: it has none yet. */
  installId: z.string().nullable(),
  /** The tree digest of the live files. */
  tree: z.string(),
  files: z.number().int(),
  bytes: z.number(),
  warnings: truncatedSchema(z.string()),
  /** Why it cannot be adopted; empty: nothing prevents it. */
  prevents: truncatedSchema(
    z.object({ code: z.enum(faultCodes), detail: z.string(), hint: z.string().optional() }),
  ),
});
export type Adopted = z.infer<typeof adoptedSchema>;

/** The answer to an export. The bytes of the bundle come on the stream. */
export const exportedSchema = z.object({
  plugin: z.string(),
  /** The version in its manifest; 0.0.0 if it says none. */
  pluginVersion: z.string(),
  /** Null: what is there has no full marker. */
  installId: z.string().nullable(),
  /** The tree digest of the files in the bundle. */
  tree: z.string(),
  files: z.number().int(),
  /** The size of all files, unpacked. */
  bytes: z.number(),
  stream: z.number().int().optional(),
});

/** One plugin as the agent lists it. */
export const pluginSchema = z.object({
  name: z.string(),
  /** `absent`: nothing is live under this name, but it may still be loaded, or an operator has to repair something. */
  status: z.enum(['admitted', 'refused', 'absent']),
  level: z.enum(['verified', 'unverified', 'unmarked']).optional(),
  reason: z.enum(refusalReasons).optional(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  version: z.string().optional(),
  description: z.string().optional(),
  /** Something that only an operator can repair: what happened, and what to do. */
  trouble: z.object({ what: z.string(), todo: z.string() }).optional(),
  /** Why installs of it are refused unless they are forced. */
  held: z.string().optional(),
  /** Files that were edited, added or removed in place, as far as sizes, modes and times show; absent: none. */
  drift: z.number().int().optional(),
  /** The generation that the runtime reports as loaded. */
  loaded: z.string().optional(),
  /** A change that waits for a restart. */
  pending: pendingSchema.optional(),
  kind: z.string().optional(),
  installId: z.string().optional(),
  bundle: z.string().optional(),
  tree: z.string().optional(),
  files: z.number().optional(),
  bytes: z.number().optional(),
  /** The number of links of the archive that were left out; absent: none. */
  skipped: z.number().optional(),
  installedAt: z.string().optional(),
  source: z.string().optional(),
  by: z.string().optional(),
  replaced: z.string().nullable().optional(),
});
export type PluginInfo = z.infer<typeof pluginSchema>;

/** Whether a plugin is what was installed. `unknown`: there is no receipt to compare it with. */
export const verificationSchema = z.object({
  plugin: z.string(),
  verdict: z.enum(['intact', 'drifted', 'unknown', 'refused']),
  detail: z.string().optional(),
  hint: z.string().optional(),
  installId: z.string().optional(),
  /** The tree digest of the live files. */
  tree: z.string().optional(),
  modified: truncatedSchema(z.string()),
  missing: truncatedSchema(z.string()),
  unlisted: truncatedSchema(z.string()),
});
export type Verification = z.infer<typeof verificationSchema>;
