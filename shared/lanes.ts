/** One lane for each plugin: changes of one plugin run one after another, those of different plugins at the same time. */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `task` when all earlier tasks of the same plugin have ended, well or not. */
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
