/** The list of mounts that Linux writes in `/proc/self/mountinfo`. */

/** Where this is read; other systems have no such file. */
export const MOUNTS_FILE = '/proc/self/mountinfo';

/**
 * The mounts below a directory, by their paths relative to it, each once.
 *
 * @param text of {@link MOUNTS_FILE}.
 * @param directory its real path: mounts are listed by those.
 */
export function mountsBelow(text: string, directory: string): string[] {
  const top = directory === '/' ? '/' : `${directory}/`;
  const points = text.split('\n').map((line) => plainPath(line.split(' ')[4] ?? ''));
  const below = points.filter((point) => point !== top && point.startsWith(top));
  return [...new Set(below.map((point) => point.slice(top.length)))];
}

/** The kernel writes spaces, tabs, line ends and backslashes in octal. */
const plainPath = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
