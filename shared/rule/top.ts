/** Finds the directory of an archive that is the plugin. Pure. */
import { MANIFEST_FILES } from '../format/manifest.ts';

/** How many directories may be around the plugin: `package/`, `plugins/<name>/`. */
const TOP_LEVELS = 2;

const prefix = (top: string): string => (top === '' ? '' : `${top}/`);
/** A path relative to a directory. */
export const below = (top: string, path: string): string => path.slice(prefix(top).length);
/** The path of an entry relative to the plugin. What is beside the plugin keeps its path in the archive. */
export function relativeTo(top: string, path: string): string {
  const plain = path.replace(/^(?:\.\/+)+/, '');
  return plain.startsWith(prefix(top)) ? below(top, plain) || '.' : path;
}
/** Whether a file of this path can be a manifest. */
export const isManifest = (path: string): boolean => MANIFEST_FILES.some((file) => file === path);

/**
 * Finds the directory that holds the manifest: the root, or the only directory of the root, or the only one in that. `npm
 * pack` and `git archive` make such archives. A link may be the manifest, but does not count as a directory.
 *
 * @returns its path, '' for the root and if there is no such directory.
 */
export function findTop(
  files: readonly string[],
  directories: readonly string[],
  links: readonly string[],
): string {
  let top = '';
  for (let level = 0; level <= TOP_LEVELS; level += 1) {
    const inside = (paths: readonly string[]): string[] =>
      paths
        .filter((path) => path.startsWith(prefix(top)))
        .map((path) => below(top, path))
        .filter((path) => path !== '');
    const entries = inside([...files, ...directories.map((path) => `${path}/`)]);
    if ([...entries, ...inside(links)].some(isManifest)) {
      return top;
    }
    const [only, ...others] = new Set(entries.map((path) => path.slice(0, path.indexOf('/') + 1)));
    // A file beside the directory gives '' here, and so counts as a second entry.
    if (only === undefined || only === '' || others.length > 0) {
      return '';
    }
    top = `${prefix(top)}${only.slice(0, -1)}`;
  }
  return '';
}
