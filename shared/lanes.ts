/** One lane for each plugin: changes of one plugin run one after another, those of different plugins at the same time. */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();
  #waiting = 0;

  /** The number of tasks that wait for an earlier one of the same plugin. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Runs `task` when all earlier tasks of the same plugin have ended, well or not. */
  async run<T>(plugin: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(plugin) ?? Promise.resolve();
    this.#waiting += 1;
    const result = before.then(() => {
      this.#waiting -= 1;
      return task();
    });
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
