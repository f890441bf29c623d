/** Why something does not fit its schema, in one line for people. */
import type * as z from 'zod';

/** What is named; more is counted. */
const NAMED_MAX = 3;

/** Each thing that is wrong by its path, the first few of them. */
export function schemaErrorOf({ issues }: z.ZodError): string {
  const wrong = issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  const more = wrong.length - NAMED_MAX;
  const named = [...wrong.slice(0, NAMED_MAX), ...(more > 0 ? [`and ${more} more`] : [])];
  // A key that nobody knows is a stranger's text.
  return named.join('; ').replaceAll(/\s*\n\s*/g, ' ');
}
