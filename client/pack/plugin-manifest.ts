/** The manifest of a directory to pack. It is refused as the agent would refuse it, before any byte is sent. */
import { Fault } from '../../shared/api/fault.ts';
import {
  type FoundManifest,
  type Manifest,
  MANIFEST_FILES,
  MANIFEST_MAX_BYTES,
  MANIFESTS_SAID,
  isManifest,
  readManifest,
} from '../../shared/format/manifest.ts';
import { NAME_RULE, isPluginName } from '../../shared/format/name.ts';
import { namePlugin } from '../../shared/rule/plugin-name.ts';
import { readTextFile } from './text-file.ts';
import type { Walked } from './walk.ts';

/**
 * The first manifest among the entries; undefined if there is none.
 *
 * @throws Fault MANIFEST_INVALID.
 */
export async function findManifest(entries: readonly Walked[]): Promise<FoundManifest | undefined> {
  for (const name of MANIFEST_FILES) {
    const entry = entries.find(({ path }) => path === name);
    if (entry?.kind !== 'file') continue;
    const reading = await readTextFile(entry.source, MANIFEST_MAX_BYTES);
    if (reading.kind === 'absent') throw invalid(`${name} is gone`);
    if (!isManifest(name, reading)) continue;
    if (reading.kind === 'unreadable') throw invalid(`${name} cannot be read: ${reading.why}`);
    const read = readManifest(name, reading.text);
    if (!read.ok) throw invalid(`${name} cannot be read: ${read.why}`);
    return read;
  }
  return undefined;
}

/**
 * The name of the plugin: from the manifest, else from the caller.
 *
 * @throws Fault MANIFEST_MISSING, MANIFEST_INVALID, MANIFEST_MISMATCH, INVALID_PARAMS.
 */
export function pluginName(
  manifest: Manifest | undefined,
  given: string | undefined,
  isRequired: boolean,
): string {
  if (manifest === undefined && isRequired) {
    throw new Fault('MANIFEST_MISSING', 'The directory holds no manifest', {
      hint: `Add ${MANIFESTS_SAID} at the root of the plugin`,
    });
  }
  const naming = manifest === undefined ? undefined : namePlugin(manifest, given);
  if (naming?.ok === false) {
    throw new Fault(naming.code, naming.why, { hint: naming.hint });
  }
  const name = naming?.name ?? given;
  if (name === undefined || !isPluginName(name)) {
    throw new Fault(
      'INVALID_PARAMS',
      name === undefined ? 'The plugin has no name' : `"${name}" is not a plugin name`,
      {
        hint: `Choose another name: ${NAME_RULE}`,
      },
    );
  }
  return name;
}

const invalid = (why: string): Fault =>
  new Fault('MANIFEST_INVALID', why, { hint: 'Correct the manifest and try again' });
