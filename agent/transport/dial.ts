/** Dials out: connects to the platform, serves the session on that connection, and connects again when it is gone. */
import { readFile, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';

import { WebSocket } from 'ws';

import { connectionError } from '../../shared/api/connection-error.ts';
import { toFault } from '../../shared/api/fault.ts';
import type { DialStatus } from '../../shared/api/maintenance.ts';
import { CLOSE, PROTOCOL, WIRE, WORKSPACE_HEADER } from '../../shared/api/rpc.ts';
import { atMost, type Clock } from '../../shared/clock.ts';
import { noMask } from '../../shared/mask.ts';
import { textIn } from '../../shared/format/text.ts';
import { tokenToShow } from '../../shared/format/token-file.ts';
import { type Backoff, fullJitter, pauseAfter, spread } from '../../shared/rule/retry.ts';
import type { DialConfig } from '../config.ts';
import type { Log } from '../log.ts';
import type { Traffic } from '../metrics/facts.ts';
import type { Known } from './auth.ts';
import { type OpenSession, serve } from './connection.ts';

export type DialOptions = DialConfig & {
  /** The version of the agent. */
  agent: string;
  session: OpenSession;
  traffic: Traffic;
  log: Log;
  clock: Clock;
  /** Between 0 and 1. */
  random: () => number;
};

/** The pauses between tries. Each is shortened at random. */
export const DIAL_BACKOFF: Backoff = { first: 2000, most: 60_000 };
/** The largest token or certificate file that is read. */
const FILE_MAX_BYTES = 1024 * 1024;
/** From the lookup of the name to the answer of the platform. */
const CONNECT_MILLIS = 10_000;
/** A connection that was open for so long has outlived a ping, so the next pause is the first one again. */
const LASTED_MILLIS = WIRE.pingMillis;

/** The agent has chosen the platform, and its certificate was checked: its calls may change plugins. */
const PLATFORM: Known = { caller: { scope: 'write', label: 'dial' }, isValid: () => true };

/** Why a try or a connection ended. */
type Ending = {
  why: string;
  hint: string;
  /** Another try will not help until somebody changes something, so it comes late. */
  isRefusal: boolean;
  /** The platform asks for a pause of at least so long (milliseconds). */
  wait: number;
};

const CHECK =
  'Check that the platform runs, that AIRLOCK_DIAL is right and that the network lets the agent out';

const ending = (why: string, hint = CHECK, isRefusal = false, wait = 0): Ending => ({
  why,
  hint,
  isRefusal,
  wait,
});

/** Connects until {@link Dialler.stop}. */
export class Dialler {
  readonly #options: DialOptions;
  #socket: WebSocket | undefined;
  /** Resolves when the current connection is gone. */
  #gone: Promise<void> = Promise.resolve();
  #stopped = false;
  #cancelPause: () => void = () => undefined;
  #status: DialStatus;

  constructor(options: DialOptions) {
    this.#options = options;
    const since = this.#at(0);
    this.#status = { url: options.url, state: 'connecting', since, next: null, failures: 0, last: null };
  }

  get status(): DialStatus {
    return this.#status;
  }

  /** Begins to connect. */
  start(): void {
    this.#options.log.info({ url: this.#options.url, workspace: this.#options.workspace }, 'dialling out');
    void this.#try();
  }

  /** Connects no more. A connection stays. */
  stop(): void {
    this.#stopped = true;
    this.#cancelPause();
    if (this.#socket?.readyState === WebSocket.CONNECTING) {
      this.#socket.terminate();
    }
  }

  /** Closes the connection with a code. Resolves when it is gone or the time (milliseconds) is up. */
  async close(code: number, reason: string, graceMillis: number): Promise<void> {
    this.stop();
    this.#socket?.close(code, reason);
    await atMost(graceMillis, this.#gone);
    this.#socket?.terminate();
  }

  /** Never rejects. */
  async #try(): Promise<void> {
    this.#become({ state: 'connecting', next: null });
    const began = this.#options.clock.now();
    let end: Ending;
    try {
      const shown = await credentialsOf(this.#options.files);
      if (this.#stopped) {
        return;
      }
      end = await this.#connection(shown);
    } catch (error) {
      end = ending(toFault(error, 'Connecting').message, 'Check the files that AIRLOCK_DIAL_* name');
    }
    this.#socket = undefined;
    if (!this.#stopped) {
      this.#pause(
        end,
        this.#status.state === 'connected' && this.#options.clock.now() - began >= LASTED_MILLIS,
      );
    }
  }

  /** One connection, from the first try to its end. */
  #connection(shown: Credentials): Promise<Ending> {
    const { url, workspace, agent, session, traffic, log, clock } = this.#options;
    const { token, ...tls } = shown;
    const ws = new WebSocket(url, [PROTOCOL], {
      ...tls,
      minVersion: 'TLSv1.2',
      // Whatever the environment of the process says.
      rejectUnauthorized: true,
      followRedirects: false,
      perMessageDeflate: false,
      maxPayload: WIRE.frameBytes,
      // The URL has TLS or is on the loopback.
      generateMask: noMask,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        [WORKSPACE_HEADER]: workspace,
        'user-agent': `airlock/${agent}`,
      },
    });
    this.#socket = ws;
    const ended = new Promise<Ending>((resolve) => {
      const cancel = clock.after(CONNECT_MILLIS, () => {
        resolve(ending(`the platform did not answer within ${CONNECT_MILLIS / 1000} s`));
        ws.terminate();
      });
      ws.on('open', () => {
        cancel();
        this.#become({ state: 'connected', next: null });
        log.info({ url }, 'connected to the platform');
        serve(ws, PLATFORM, session, log.child({ by: PLATFORM.caller.label }), traffic);
      });
      // Its body is not read: it may be of any size, and it proves nothing.
      ws.on('unexpected-response', (_request, response: IncomingMessage) => {
        resolve(refusalOf(response));
        ws.terminate();
      });
      ws.on('error', (error) => resolve(failureOf(error)));
      ws.on('close', (code, reason) => {
        cancel();
        resolve(closingOf(code, reason.toString('utf8')));
      });
    });
    this.#gone = new Promise((resolve) => {
      ws.on('close', () => resolve());
    });
    return ended;
  }

  #pause({ why, hint, isRefusal, wait }: Ending, hasLasted: boolean): void {
    const { log, clock, random, url } = this.#options;
    const failures = hasLasted ? 1 : this.#status.failures + 1;
    const { most } = DIAL_BACKOFF;
    const millis = isRefusal
      ? spread(most, random())
      : Math.min(wait, most) + fullJitter(pauseAfter(failures, DIAL_BACKOFF), random());
    const next = this.#at(millis);
    log.warn({ url, why, hint, failures, next }, 'not connected to the platform');
    this.#become({ state: 'waiting', next, failures, last: { at: this.#at(0), why, hint } });
    this.#cancelPause = clock.after(millis, () => void this.#try());
  }

  #become(change: Partial<DialStatus>): void {
    this.#status = { ...this.#status, since: this.#at(0), ...change };
  }

  #at(millis: number): string {
    return new Date(Date.now() + millis).toISOString();
  }
}

/** What the agent shows, and by what it knows the platform. */
type Credentials = {
  token: string | undefined;
  ca: Buffer | undefined;
  cert: Buffer | undefined;
  key: Buffer | undefined;
};

/** Reads the files anew, because they may have been replaced. @throws Error that names the file. */
async function credentialsOf({ token, ca, cert, key }: DialConfig['files']): Promise<Credentials> {
  const read = async (file: string | undefined): Promise<Buffer | undefined> => {
    if (file === undefined) {
      return undefined;
    }
    const stats = await stat(file);
    if (!stats.isFile() || stats.size > FILE_MAX_BYTES) {
      throw new Error(`the file "${file}" is no regular file, or too large`);
    }
    return readFile(file);
  };
  const shown = await read(token);
  return {
    token: shown === undefined || token === undefined ? undefined : tokenIn(token, shown),
    ca: await read(ca),
    cert: await read(cert),
    key: await read(key),
  };
}

function tokenIn(file: string, bytes: Buffer): string {
  const reading = textIn(bytes);
  const token = reading.kind === 'text' ? tokenToShow(reading.text) : undefined;
  if (token === undefined || !/^[\u0021-\u007e]+$/.test(token)) {
    throw new Error(`the file "${file}" holds no token`);
  }
  return token;
}

/** What to do about a status of the platform. Statuses that are not here are temporary. */
const REFUSALS: Readonly<Record<number, readonly [why: string, hint: string]>> = {
  401: [
    'it does not know the token',
    'Put the token that the platform has for this workspace into AIRLOCK_DIAL_TOKEN_FILE',
  ],
  403: [
    'it does not admit this agent',
    'Check that AIRLOCK_WORKSPACE is the workspace of the token, and what a proxy in between adds',
  ],
  404: ['there is nothing at this path', 'Check the path in AIRLOCK_DIAL; without one it is /v1/agents'],
  426: ['it asks for another protocol', `Check that the platform accepts ${PROTOCOL} at this path`],
};

function refusalOf({ statusCode = 0, headers }: IncomingMessage): Ending {
  const [why, hint] = REFUSALS[statusCode] ?? [];
  const status = `HTTP ${statusCode}`;
  if (why !== undefined) {
    return ending(`the platform refused the connection: ${why} (${status})`, hint, true);
  }
  if (statusCode >= 300 && statusCode < 400) {
    return ending(
      `the platform redirects (${status}), and an agent with a token follows no redirect`,
      'Name the address of the platform itself in AIRLOCK_DIAL',
      true,
    );
  }
  const seconds = /^\d{1,5}$/.exec(headers['retry-after'] ?? '')?.[0] ?? '0';
  const isTemporary = statusCode >= 500 || statusCode === 429 || statusCode === 408;
  return ending(`the platform answered ${status}`, CHECK, !isTemporary, Number(seconds) * 1000);
}

function failureOf(error: Error): Ending {
  const { why, isCertificate } = connectionError(error);
  return isCertificate
    ? ending(
        why,
        'Check AIRLOCK_DIAL_CA (who signed for the platform), AIRLOCK_DIAL_CERT and AIRLOCK_DIAL_KEY',
      )
    : ending(why, CHECK, /subprotocol|Sec-WebSocket|Upgrade header/.test(error.message));
}

function closingOf(code: number, reason: string): Ending {
  const said = reason === '' ? String(code) : `${code}, "${reason}"`;
  return code === CLOSE.replaced
    ? ending(
        `another agent has connected for this workspace (${said})`,
        'If it is not a newer start of this agent, give one of the two another AIRLOCK_WORKSPACE',
        true,
      )
    : ending(`the connection was closed (${said})`);
}
