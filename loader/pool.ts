/** Bounded concurrency: descriptors are few, and the runtime uses the same thread pool. */

/**
 * Runs `work` for each item, at most `limit` at a time. The results keep the order of the items.
 * @throws (rejects with) the first failure; no work begins after it.
 */
export async function mapBounded<T, R>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = Array.from(items).entries();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const [i, item] of queue) {
      try {
        results[i] = await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
      if (failed) {
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results;
}
