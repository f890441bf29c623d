/** Cuts lists in an answer, so that it fits one frame; `total` is the number of all entries. */
import * as z from 'zod';

/** The most entries of a list in an answer. */
export const LIST_MAX = 100;
/** The most bytes of JSON of a list. Three such lists fit one frame, whatever the names of files are. */
const LIST_BYTES = 48 * 1024;

/** The beginning of a list that an answer can hold. */
export function firstOf<T>(list: readonly T[]): T[] {
  let bytes = 0;
  const items: T[] = [];
  for (const item of list.slice(0, LIST_MAX)) {
    bytes += new TextEncoder().encode(JSON.stringify(item)).length;
    if (bytes > LIST_BYTES) {
      break;
    }
    items.push(item);
  }
  return items;
}

/** Cuts a list for an answer. */
export const truncate = <T>(list: readonly T[]): { items: T[]; total: number } => ({
  items: firstOf(list),
  total: list.length,
});

/** A list that may have been cut. */
export const truncatedSchema = <T extends z.ZodType>(
  item: T,
): z.ZodObject<{ items: z.ZodArray<T>; total: z.ZodNumber }> =>
  z.object({ items: z.array(item), total: z.number() });
