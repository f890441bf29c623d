/** Lines of places in a text, from 1. Pure. */

/**
 * A function that tells the line of each place. Places that come one after another cost one look at the text together.
 *
 * @example const lineAt = linesOf(text); lineAt(10); lineAt(2000);
 */
export function linesOf(text: string): (at: number) => number {
  let [line, last, end] = [1, 0, text.indexOf('\n')];
  return (at) => {
    if (at < last) [line, end] = [1, text.indexOf('\n')];
    for (last = at; end !== -1 && end < at; end = text.indexOf('\n', end + 1)) line += 1;
    return line;
  };
}
