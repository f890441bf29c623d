/** An install that survives the loss of its connection. */
import { randomUUID } from 'node:crypto';

import { Fault, toFault } from '../shared/api/fault.ts';
import { type Pause, pause } from '../shared/clock.ts';
import { pauseAfter, spread } from '../shared/rule/retry.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Bundle } from './bundle.ts';
import { install, type InstallOptions } from './install.ts';
import { cancelled } from './requests.ts';
import { isAborted, mayReconnect, PUSH_BACKOFF } from './retry.ts';
import type { Session } from './session.ts';

const TRIES = 5;

export type PushOptions = InstallOptions & {
  /** How often to connect again, at most, before bytes move; 5 by default. */
  tries?: number | undefined;
  /** Called before each pause. `left`: how often it connects again, at most, before bytes move. */
  onReconnect?: ((why: Fault, pauseMillis: number, left: number) => void) | undefined;
  /** @internal */
  sleep?: Pause | undefined;
  /** @internal Between 0 and 1. */
  random?: (() => number) | undefined;
};

/** A new operation id. */
export const newOperationId = (): string => randomUUID();

/**
 * Installs a bundle. If the connection breaks before the answer, it connects again and continues the same operation: from
 * the byte up to which the agent has taken it in, or from the start if the agent was restarted. If the install has ended
 * meanwhile, it gives that answer. Every session that `open` gives is closed again.
 *
 * @param open connects; the signal aborts it.
 * @throws Fault as `install`; UNREACHABLE when all tries are used up.
 *
 * @example
 * const open = () => openSession({ url, token, client: 'platform' });
 * const { installId } = await push(open, await packDirectory('./lint'));
 */
export async function push(
  open: (signal: AbortSignal | undefined) => Promise<Session>,
  bundle: Bundle,
  options: PushOptions = {},
): Promise<Installed> {
  const connection = new OpenConnection(open);
  try {
    return await pushOver(connection, bundle, options);
  } finally {
    await connection.close();
  }
}

/** A connection that several pushes use, and that is opened again after it broke. */
export class OpenConnection {
  readonly #open: (signal: AbortSignal | undefined) => Promise<Session>;
  #session: Session | undefined;

  constructor(open: (signal: AbortSignal | undefined) => Promise<Session>) {
    this.#open = open;
  }

  /** @throws Fault as the function that opens it. */
  async session(signal: AbortSignal | undefined): Promise<Session> {
    this.#session ??= await this.#open(signal);
    return this.#session;
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.close();
  }
}

/** As {@link push}, and leaves the connection open. */
export async function pushOver(
  connection: OpenConnection,
  bundle: Bundle,
  options: PushOptions,
): Promise<Installed> {
  const { signal, sleep = pause, random = Math.random, tries = TRIES } = options;
  const operationId = options.operationId ?? newOperationId();
  let begun = false;
  let furthest = 0;
  let failures = 0;
  for (;;) {
    if (isAborted(signal)) throw cancelledPush(bundle, begun);
    const before = furthest;
    try {
      const session = await connection.session(signal);
      begun = true;
      return await install(session, bundle, {
        ...options,
        operationId,
        onProgress: (progress) => {
          furthest = Math.max(furthest, progress.sent);
          options.onProgress?.(progress);
        },
      });
    } catch (error) {
      const fault = toFault(error, `Installing "${bundle.plugin}"`);
      if (isAborted(signal)) throw fault.code === 'CANCELLED' ? fault : cancelledPush(bundle, begun);
      if (!mayReconnect(fault)) throw fault;
      await connection.close();
      failures = furthest > before ? 1 : failures + 1;
      if (failures > tries) throw exhausted(fault, tries, begun);
      const millis = spread(pauseAfter(failures, PUSH_BACKOFF), random());
      options.onReconnect?.(fault, millis, tries - failures + 1);
      await sleep(millis, signal);
    }
  }
}

const cancelledPush = ({ plugin }: Bundle, begun: boolean): Fault =>
  begun
    ? cancelled(`Installing "${plugin}"`)
    : new Fault('CANCELLED', `Installing "${plugin}" was cancelled before it began`);

const exhausted = (last: Fault, tries: number, begun: boolean): Fault =>
  new Fault(last.code, `${last.message} (after ${tries} more tries)`, {
    cause: last,
    hint: last.hint,
    retry: 'later',
    executed: begun ? 'maybe' : 'no',
  });
