/** Values that are put in at one end and iterated at the other; of each key there waits at most one. */
export class Queue<T> {
  readonly #merge: (before: T, after: T) => T;
  readonly #values = new Map<string, T>();
  readonly #waiting = new Set<() => void>();
  #end: { error: Error | undefined } | undefined;

  /** @param merge makes one of a value that waits and one that is put in with the same key. */
  constructor(merge: (before: T, after: T) => T) {
    this.#merge = merge;
  }

  put(key: string, value: T): void {
    if (this.#end !== undefined) return;
    const before = this.#values.get(key);
    this.#values.set(key, before === undefined ? value : this.#merge(before, value));
    this.#wake();
  }

  /** What was put in before is still handed out; then the iteration ends, or throws the error. */
  end(error?: Error): void {
    this.#end ??= { error };
    this.#wake();
  }

  /** Several iterations share the values: each is handed out once. */
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
