/** Identifies the version in a plugin's directory. Pure. */

/** A directory as `stat` shows it; its times in nanoseconds since the epoch. */
export type DirectoryStats = { dev: bigint | number; ino: bigint | number; ctimeNs: bigint };

/**
 * The generation of a version: its installId. A version without one has the identity of its directory and a time. That is the
 * time of the marker where there is one: the directory's own time also changes with a `__pycache__`.
 *
 * @param marker the ctime of the marker (nanoseconds since the epoch); undefined where there is none.
 */
export const generationOf = (
  installId: string | undefined,
  { dev, ino, ctimeNs }: DirectoryStats,
  marker: bigint | undefined,
): string => installId ?? `dir-${dev}-${ino}-${marker ?? ctimeNs}`;
