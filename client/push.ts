/** An install that survives the loss of its connection. */
import { randomUUID } from 'node:crypto';

import { Fault, type FaultCode, toFault, withExecuted } from '../shared/api/fault.ts';
import { type Pause, pause } from '../shared/clock.ts';
import { pauseAfter, spread } from '../shared/rule/retry.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Bundle } from './bundle.ts';
import { type DeltaBundle, packDelta, type DeltaResult } from './delta.ts';
import { attemptInstall, cancelledInstall, type InstallOptions, type InstallProgress } from './install.ts';
import { type Open, OpenConnection } from './open-connection.ts';
import { isNotReached, isToldToWait, mayReconnect } from './reach.ts';
import { isAborted, PUSH_BACKOFF, retryAfterOf } from './retry.ts';
import { abortInstall, type AbortResult } from './stop.ts';

/** How often it connects again in vain, before it has reached the agent and after. A restart may take half a minute. */
const TRIES = { unknown: 5, reached: 8 };
/** An agent that asks to come later is asked so many times as often. */
const TOLD_FACTOR = 12;

export type PushOptions = InstallOptions & {
  /**
   * How often to connect again, at most, before bytes move; 5 by default, and 8 once the agent was reached. An agent that
   * answers RATE_LIMITED or DRAINING is asked twelve times as often.
   */
  tries?: number | undefined;
  /**
   * `false`: sends the whole bundle, also if the agent has most of its files; `force` does so too. `true`: sends only what the
   * agent lacks also where that saves bytes and no time. Absent: over the loopback or a Unix socket only from 1 MiB on.
   */
  delta?: boolean | undefined;
  /** Stops the install after this time, as the signal does, but with DEADLINE; no limit by default. */
  deadlineMillis?: number | undefined;
  /** Called before each pause. `left`: how often it connects again, at most, before bytes move. */
  onReconnect?: ((why: Fault, pauseMillis: number, left: number) => void) | undefined;
  /** @internal */
  sleep?: Pause | undefined;
  /** @internal Between 0 and 1. */
  random?: (() => number) | undefined;
};

/** What became of a push: the agent's answer, and what was sent if it was not the whole bundle. */
export type Pushed = Installed & { delta?: DeltaResult | undefined };

/** A new operation id. */
export const newOperationId = (): string => randomUUID();

/**
 * Installs a bundle. If the connection breaks before the answer, it connects again and continues the same operation: from
 * the byte up to which the agent has taken it in, or from the start if the agent was restarted. If the install has ended
 * meanwhile, it gives that answer. Every session that `open` gives is closed again.
 *
 * Where that pays, an update sends only the files that the agent lacks (`packDirectory` made the bundle, and its directory
 * is as it was). If the agent cannot put the new version together, the whole bundle follows.
 *
 * When the signal is aborted, it tells the agent, over a new connection if need be. If the swap has begun by then, it
 * resolves with the answer all the same.
 *
 * @param open connects; the signal aborts it.
 * @throws Fault as `install`; UNREACHABLE when all tries are used up; DEADLINE. Its `executed` is about the whole push.
 *
 * @example
 * const open = (signal) => openSession({ url, token, client: 'platform', signal });
 * const { installId } = await push(open, await packDirectory('./lint'));
 */
export async function push(open: Open, bundle: Bundle, options: PushOptions = {}): Promise<Pushed> {
  const connection = new OpenConnection(open);
  try {
    return await pushOver(connection, bundle, options);
  } finally {
    await connection.close();
  }
}

/** As {@link push}, and leaves the connection open. */
export async function pushOver(
  connection: OpenConnection,
  bundle: Bundle,
  options: PushOptions,
): Promise<Pushed> {
  const { deadlineMillis } = options;
  if (deadlineMillis === undefined) return new Push(connection, bundle, options).run();
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), deadlineMillis);
  const signals = options.signal === undefined ? [] : [options.signal];
  try {
    const signal = AbortSignal.any([...signals, deadline.signal]);
    return await new Push(connection, bundle, { ...options, signal }).run();
  } catch (error) {
    const fault = toFault(error, `Installing "${bundle.plugin}"`);
    if (fault.code !== 'CANCELLED' || isAborted(options.signal)) throw fault;
    throw new Fault('DEADLINE', `Installing "${bundle.plugin}" took longer than ${deadlineMillis / 1000} s`, {
      cause: fault,
      executed: fault.executed,
      hint: fault.hint,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Faults that say nothing about the operation: the agent has not looked at it. */
const ABOUT_THE_CALLER: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'RATE_LIMITED',
  'DRAINING',
  'CANCELLED',
]);

/** Whether a refusal may be about the delta alone. Of a whole bundle the agent says it again if it is not. */
const mayBeDelta = ({ code, executed }: Fault): boolean =>
  executed === 'no' &&
  (code === 'CONFLICT' ||
    code === 'DIGEST_MISMATCH' ||
    code === 'INVALID_PARAMS' ||
    /^(?:ARCHIVE|LIMIT)_/.test(code));

/** One push: its tries, and what is known of its operation. */
class Push {
  readonly #connection: OpenConnection;
  readonly #bundle: Bundle;
  readonly #options: PushOptions;
  readonly #operationId: string;
  /** The agent was reached, and may know the operation. */
  #reached = false;
  /** How far the current try has come; undefined: it is connecting. */
  #phase: InstallProgress | undefined;
  /** An earlier request may have executed the operation, and nobody has said whether. */
  #doubt = false;
  /** The byte at which the agent has let an upload go on. */
  #furthest = 0;
  /** Is sent instead of the bundle. */
  #delta: DeltaBundle | 'undecided' | 'none';
  #lost = 0;
  #told = 0;

  constructor(connection: OpenConnection, bundle: Bundle, options: PushOptions) {
    this.#connection = connection;
    this.#bundle = bundle;
    this.#options = options;
    this.#operationId = options.operationId ?? newOperationId();
    this.#delta = options.delta === false || options.force === true ? 'none' : 'undecided';
  }

  async run(): Promise<Pushed> {
    try {
      return await this.#run();
    } finally {
      await this.#sendWhole();
    }
  }

  async #run(): Promise<Pushed> {
    const { signal, sleep = pause } = this.#options;
    for (;;) {
      if (isAborted(signal)) return this.#stop();
      try {
        return await this.#try();
      } catch (error) {
        if (isAborted(signal)) return this.#stop();
        const thrown = toFault(error, `Installing "${this.#bundle.plugin}"`);
        if (this.#phase !== undefined && typeof this.#delta === 'object' && mayBeDelta(thrown)) {
          await this.#sendWhole();
          continue;
        }
        const fault = this.#judge(thrown);
        if (!mayReconnect(thrown, this.#reached)) throw fault;
        await this.#connection.close();
        await sleep(this.#nextPause(fault), signal);
      }
    }
  }

  /** From now on the bundle itself is sent. */
  async #sendWhole(): Promise<void> {
    const delta = this.#delta;
    this.#delta = 'none';
    // A temporary file that stays is no reason to fail.
    if (typeof delta === 'object') await delta.dispose().catch(() => undefined);
  }

  async #try(): Promise<Pushed> {
    const { signal } = this.#options;
    this.#phase = undefined;
    const session = await this.#connection.session(signal);
    this.#reached = true;
    if (this.#delta === 'undecided') {
      this.#delta =
        (await packDelta(session, this.#bundle, { wanted: this.#options.delta, signal })) ?? 'none';
    }
    const delta = typeof this.#delta === 'object' ? this.#delta : undefined;
    const options = { ...this.#options, operationId: this.#operationId };
    const note = (phase: InstallProgress, offset: number): void => this.#note(phase, offset);
    const answer = await attemptInstall(session, this.#bundle, options, note, delta);
    return delta === undefined || answer.status === 'present' ? answer : { ...answer, delta: delta.result };
  }

  #note(phase: InstallProgress, offset: number): void {
    this.#phase = phase;
    switch (phase) {
      case 'begin':
        // An id that the caller has chosen may have been used before.
        this.#doubt ||= this.#options.operationId !== undefined;
        break;
      case 'open':
        this.#doubt = false;
        if (offset > this.#furthest) {
          this.#furthest = offset;
          this.#lost = 0;
        }
        break;
      case 'commit':
        this.#doubt = true;
        break;
      default:
        phase satisfies never;
    }
  }

  /** The fault of a try, with an `executed` for the whole push. */
  #judge(fault: Fault): Fault {
    const isAnswer = this.#phase !== undefined && !isNotReached(fault);
    const isAbout = isAnswer && (this.#phase !== 'begin' || !ABOUT_THE_CALLER.has(fault.code));
    if (isAbout) {
      this.#doubt = fault.executed === 'maybe';
      return fault;
    }
    return withExecuted(fault, this.#doubt ? 'maybe' : 'no');
  }

  /** @returns milliseconds. @throws Fault when all tries are used up. */
  #nextPause(fault: Fault): number {
    const { random = Math.random, onReconnect, tries } = this.#options;
    const most = tries ?? (this.#reached ? TRIES.reached : TRIES.unknown);
    const isTold = isToldToWait(fault);
    if (isTold) {
      // It lives, so what was lost before is no reason to give up.
      this.#lost = 0;
      this.#told += 1;
    } else {
      this.#lost += 1;
    }
    const failures = isTold ? this.#told : this.#lost;
    const left = (isTold ? most * TOLD_FACTOR : most) - failures;
    if (left < 0) throw exhausted(fault, failures - 1, this.#operationId);
    const millis = retryAfterOf(fault) + spread(pauseAfter(failures, PUSH_BACKOFF), random());
    onReconnect?.(fault, millis, left + 1);
    return millis;
  }

  /** The caller wants no more of it. @returns the answer if it is too late. @throws Fault CANCELLED */
  async #stop(): Promise<Installed> {
    if (!this.#reached) {
      throw new Fault('CANCELLED', `Installing "${this.#bundle.plugin}" was cancelled before it began`);
    }
    // An open connection may be dead, and nobody has noticed yet.
    const isOpen = this.#connection.isOpen;
    const first = await this.#abort();
    const result = first === undefined && isOpen ? await this.#abort() : first;
    const stopped: AbortResult = result ?? { executed: this.#doubt ? 'maybe' : 'no' };
    if ('answer' in stopped) return stopped.answer;
    throw cancelledInstall(this.#bundle, stopped);
  }

  /** @returns undefined if nobody has answered; then the connection is not used any more. */
  async #abort(): Promise<AbortResult | undefined> {
    const session = await this.#connection.briefly();
    const result = session && (await abortInstall(session, this.#operationId));
    // Closing a dead one takes a while, and is not waited for.
    if (result === undefined) void this.#connection.close();
    return result;
  }
}

const exhausted = (last: Fault, tries: number, operationId: string): Fault =>
  new Fault(last.code, `${last.message} (after ${tries} more tries)`, {
    cause: last,
    hint:
      last.executed === 'maybe'
        ? `Push it again with the operation id "${operationId}" (--operation): an install that is done is not repeated`
        : last.hint,
    retry: 'later',
    executed: last.executed,
  });
