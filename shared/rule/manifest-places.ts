/** Where the manifests are in a directory or an archive that has none at its top. Pure. */
import { manifestAt } from '../format/manifest.ts';

const NAMED_MAX = 5;

/** The first names of a list, in quotes, and the number of the others. */
export function namedSome(names: readonly string[]): string {
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : '';
  return (
    names
      .slice(0, NAMED_MAX)
      .map((name) => `"${name}"`)
      .join(', ') + more
  );
}

/** The directories with files that look like manifests, those that are around others first; '' is the top. */
export function manifestsIn(paths: readonly string[]): string[] {
  const places = paths.flatMap((path) => {
    const file = manifestAt(path);
    return file === undefined ? [] : path.slice(0, Math.max(0, path.length - file.length - 1));
  });
  return [...new Set(places)].toSorted((a, b) => a.length - b.length);
}

/** The files below the top that look like manifests, but none that is inside the plugin of another. */
export function manifestsBelow(paths: readonly string[]): { place: string; file: string }[] {
  const found = paths.flatMap((path) => {
    const file = manifestAt(path);
    return file === undefined || file === path ? [] : { place: path.slice(0, -file.length - 1), file };
  });
  const places = new Set(found.map(({ place }) => place));
  const first = new Map(found.toReversed().map(({ place, file }) => [place, file]));
  const isInner = (place: string): boolean =>
    place.split('/').some((_, i, names) => i > 0 && places.has(names.slice(0, i).join('/')));
  return [...places]
    .filter((place) => !isInner(place))
    .map((place) => ({ place, file: first.get(place) ?? '' }));
}

/**
 * Says where the manifests are, if none is at the top.
 *
 * @param what begins the sentence: "The directory".
 * @returns undefined if there is none at all.
 */
export function manifestElsewhere(
  what: string,
  paths: readonly string[],
): { why: string; hint: string } | undefined {
  const below = manifestsBelow(paths);
  const [only, ...others] = below;
  if (only === undefined) return undefined;
  if (others.length === 0) {
    return {
      why: `${what} has no manifest at its top; it is at "${only.place}/${only.file}"`,
      hint: `Push the directory "${only.place}", or pack it from there`,
    };
  }
  return {
    why: `${what} is no plugin but holds ${below.length}: ${namedSome(below.map(({ place }) => place))}`,
    hint: 'Push the directory of one of them, or all of them with "airlock push --all"',
  };
}
