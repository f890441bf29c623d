/** The form of a token file: a token a line, alone or as `read|write TOKEN [label]`. */

/**
 * The token that a process shows to another one: the first with scope `write`, else the first.
 *
 * @returns undefined for a file that holds none.
 */
export function tokenToShow(text: string): string | undefined {
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim().split(/\s+/))
    .filter(([first = '']) => first !== '' && !first.startsWith('#'));
  const line = lines.find(([scope]) => scope === 'write') ?? lines[0];
  return line?.length === 1 ? line[0] : line?.[1];
}
