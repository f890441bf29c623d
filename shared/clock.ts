/** Time as a port, so that tests do not wait. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls once after so many milliseconds, unless it is cancelled before. Does not keep the process alive. */
  after(millis: number, call: () => void): () => void;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  after(millis, call) {
    const timer = setTimeout(call, millis);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** The same, but a waiting call keeps the process alive. */
export const awakeClock: Clock = {
  ...systemClock,
  after(millis, call) {
    const timer = setTimeout(call, millis);
    return () => clearTimeout(timer);
  },
};

/** For durations: it does not jump when the time of the machine is set. It counts from the start of the process. */
export const steadyClock: Clock = { ...systemClock, now: () => performance.now() };

/** Waits so many milliseconds; see {@link pause}. */
export type Pause = (millis: number, signal: AbortSignal | undefined) => Promise<void>;

/** Resolves after so many milliseconds, or when the signal is aborted; never rejects. Keeps the process alive. */
export const pause: Pause = (millis, signal) =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, millis);
    signal?.addEventListener('abort', done, { once: true });
    if (signal?.aborted === true) done();
  });

/** Waits for work, and no longer than so many milliseconds. The work goes on. @throws what the work throws meanwhile. */
export async function atMost(millis: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  await Promise.race([work, patience]).finally(() => clearTimeout(timer));
}
