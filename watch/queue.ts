/** A queue with at most one waiting value for each key. */
export class Queue<T> {
  readonly #merge: (before: T, after: T) => T;
  readonly #values = new Map<string, T>();
  readonly #waiting = new Set<() => void>();
  #end: { error: Error | undefined } | undefined;

  /** @param merge merges a waiting value and a new one with the same key. */
  constructor(merge: (before: T, after: T) => T) {
    this.#merge = merge;
  }

  put(key: string, value: T): void {
    if (this.#end !== undefined) return;
    const before = this.#values.get(key);
    this.#values.set(key, before === undefined ? value : this.#merge(before, value));
    this.#wake();
  }

  /** Ends the iteration after the waiting values, with the error if there is one. */
  end(error?: Error): void {
    this.#end ??= { error };
    this.#wake();
  }

  /** Iterates the values. Several iterations share them: each value goes to one of them. */
  async *values(): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const [first] = this.#values;
      if (first !== undefined) {
        const [key, value] = first;
        this.#values.delete(key);
        yield value;
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    }
  }

  #wake(): void {
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }
}
