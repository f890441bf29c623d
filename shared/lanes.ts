/** One lane per plugin: what changes a plugin runs one after another, different plugins side by side. */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `task` when all tasks that asked before it for the same plugin have ended, however they ended. */
  async run<T>(plugin: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(plugin) ?? Promise.resolve();
    const result = before.then(task);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(plugin, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(plugin) === tail) {
        this.#tails.delete(plugin);
      }
    }
  }
}
