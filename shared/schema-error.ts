/** Says in one line for people why a value does not fit its schema. */
import type * as z from 'zod';

/** The number of issues that are named; further ones are counted. */
const NAMED_MAX = 3;

/** Names the first issues, each with its path. */
export function schemaErrorOf({ issues }: z.ZodError): string {
  const wrong = issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  );
  const more = wrong.length - NAMED_MAX;
  const named = [...wrong.slice(0, NAMED_MAX), ...(more > 0 ? [`and ${more} more`] : [])];
  // An unknown key is text of unknown origin.
  return named.join('; ').replaceAll(/\s*\n\s*/g, ' ');
}
