/** Time as a port, so that tests need not wait. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls once after so many milliseconds, unless cancelled before; does not keep the process alive. */
  after(millis: number, call: () => void): () => void;
};

export const systemClock: Clock = {
  now: Date.now,
  after(millis, call) {
    const timer = setTimeout(call, millis);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
