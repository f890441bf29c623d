/** Counts failed attempts by source address, bounded in number and memory. It never refuses a valid token. */
import { isIPv4 } from 'node:net';

/** So many failures of an address in so long (milliseconds) are answered. Further ones are told to wait. */
const MAX = 10;
const WINDOW_MILLIS = 60_000;
/** The number of addresses that are remembered. The oldest is forgotten for a new one. */
const ADDRESSES = 1000;

export type Failure = {
  /** Seconds to wait; 0 if there were not too many. */
  wait: number;
  /** Whether to write a line to the log: a flood has only one. */
  log: boolean;
};

export class Failures {
  readonly #now: () => number;
  readonly #counts = new Map<string, { count: number; until: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The number of remembered addresses. */
  get size(): number {
    return this.#counts.size;
  }

  /** Counts a failure. */
  count(address: string | undefined): Failure {
    const now = this.#now();
    const key = networkOf(address ?? '');
    const known = this.#counts.get(key);
    const entry = known !== undefined && known.until > now ? known : { count: 0, until: now + WINDOW_MILLIS };
    if (entry !== known) {
      this.#counts.delete(key);
      this.#counts.set(key, entry);
    }
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > ADDRESSES && oldest !== undefined) {
      this.#counts.delete(oldest);
    }
    entry.count += 1;
    const tooMany = entry.count > MAX;
    return { wait: tooMany ? Math.ceil((entry.until - now) / 1000) : 0, log: entry.count <= MAX + 1 };
  }
}

/** An IPv4 address, or the first 64 bits of an IPv6 address: one site has all addresses below them. */
export function networkOf(address: string): string {
  const mapped = address.startsWith('::ffff:') ? address.slice(7) : address;
  if (isIPv4(mapped)) {
    return mapped;
  }
  const [bare = ''] = address.split('%');
  const [head = '', tail] = bare.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...zeros, ...right].slice(0, 4).join(':');
}
