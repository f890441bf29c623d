/** Values that are put in at one end and iterated at the other. */
export class Queue<T> {
  readonly #values: T[] = [];
  readonly #waiting = new Set<() => void>();
  #end: { error: Error | undefined } | undefined;

  put(value: T): void {
    if (this.#end !== undefined) return;
    this.#values.push(value);
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
      const value = this.#values.shift();
      if (value !== undefined) {
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
