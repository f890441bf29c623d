/** Describes the version that a change displaces. Reads only what is live. */
import { type Manifest, readManifest } from '../../shared/format/manifest.ts';
import type { Intent } from '../../shared/format/intent.ts';
import { type PluginParts, partsOf } from '../../shared/rule/plugin/parts.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { markerAt } from '../store/marker.ts';
import { manifestOf } from '../store/read-live.ts';
import { walkCounted } from '../store/tree.ts';

/** What is compared: where a version came from, and how it describes itself. */
type Origin = { source: string | undefined; manifest: Manifest | undefined };

type Displaced = {
  /** 0.0.0 if its manifest says none. Null: nothing is live, or it has no manifest that can be read. */
  version: string | null;
  /** Signs that the displaced version is another plugin of the same name. */
  warnings: string[];
};

/** The version that is live (`from`), and how it differs in origin from the next one. Throws as {@link markerAt}. */
export function describeDisplaced(
  context: StoreContext,
  plugin: string,
  from: Intent['from'],
  next: Origin,
): Displaced {
  const live = context.layout.live(plugin);
  const marker = from?.kind === 'marked' ? markerAt(context, live) : undefined;
  const manifest = from === null ? undefined : manifestIn(context, live);
  const version = marker?.pluginVersion ?? manifest?.version ?? null;
  const before = { source: marker?.source, manifest };
  const said = version === null ? 'a version' : `version ${version}`;
  return { version, warnings: signsOf(before, next).map((sign) => `It replaces ${said} ${sign}`) };
}

/** What the live version has: its skills, rules and hooks. Undefined, and reported, if its files cannot be listed. */
export function livePartsOf(context: StoreContext, plugin: string): PluginParts | undefined {
  const live = context.layout.live(plugin);
  return attempt(context, `Listing the files of "${plugin}"`, () => {
    const paths: string[] = [];
    walkCounted(context, live, (path, kind) => kind === 'file' && paths.push(path));
    return partsOf(paths, plugin, manifestIn(context, live));
  });
}

/** The manifest of a tree, as far as it can be read. */
function manifestIn(context: StoreContext, tree: string): Manifest | undefined {
  const found = manifestOf(context, tree);
  const read = found?.reading.kind === 'text' ? readManifest(found.file, found.reading.text) : undefined;
  return read?.ok === true ? read.manifest : undefined;
}

function signsOf(before: Origin, next: Origin): string[] {
  const signs: string[] = [];
  if (before.source !== undefined && placeOf(before) !== placeOf(next)) {
    const now =
      next.source === undefined ? 'the new one names no source' : `the new one from "${next.source}"`;
    signs.push(`that came from "${before.source}", ${now}: check that both are the same plugin`);
  }
  const files = [before.manifest?.file, next.manifest?.file];
  if (files[0] !== undefined && files[1] !== undefined && files[0] !== files[1]) {
    signs.push(
      `that has a ${files[0]}, the new one has a ${files[1]}: plugins and skills may share a name, so check that both are the same`,
    );
  }
  return signs;
}

/** A source without what differs between two versions of one plugin: `registry/lint@1.0.0`, `…/lint-1.0.0.tgz`. */
function placeOf({ source, manifest }: Origin): string | undefined {
  const version = (manifest?.version ?? '').replaceAll(/[^A-Za-z0-9]/g, String.raw`\$&`);
  const alone = new RegExp(`(?<![A-Za-z0-9])v?${version}(?![A-Za-z0-9])`, 'g');
  return source?.replace(/[@#?][^/]*$/, '').replaceAll(alone, '');
}
