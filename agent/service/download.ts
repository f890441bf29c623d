/**
 * Fetches the bytes of a bundle over HTTP. It uses no proxy and no connection of anybody else. When the connection breaks
 * in the middle, it continues with the byte after the last one.
 */
import type { IncomingMessage } from 'node:http';
import * as http from 'node:http';
import * as https from 'node:https';

import { connectionError } from '../../shared/api/connection-error.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type Clock, type Pause, pause } from '../../shared/clock.ts';
import { type Backoff, pauseAfter } from '../../shared/rule/retry.ts';
import type { Sink } from './own-upload.ts';
import { labelOf, redirected } from './pull-url.ts';

const REDIRECTS = 5;
/** So many connections in a row that bring no byte end a download that has begun. */
const TRIES = 5;
const BACKOFF: Backoff = { first: 500, most: 8000 };

/** A sink that can also begin again, because what it has taken was not passed on. */
export type DownloadSink = Sink & { restart?: () => Promise<void> };

export type DownloadOptions = {
  url: URL;
  /** The origins that the owner allows, also for redirects; undefined: all. */
  from: readonly string[] | undefined;
  token: string | undefined;
  /** The authority of the servers, in PEM; undefined: those of Node. */
  ca: Buffer | undefined;
  /** The bytes of the bundle; undefined: not known. */
  size: number | undefined;
  /** The most bytes that are accepted. */
  most: number;
  /** A server that sends nothing for so long is given up. */
  idleMillis: number;
  clock: Clock;
  /** Ends it; the reason is the fault. */
  signal: AbortSignal;
  /** For tests. */
  sleep?: Pause | undefined;
};

/** How a connection ended: with the last byte, or before it, and then another one may bring the rest. */
type Ended = { kind: 'done' } | { kind: 'broken'; fault: Fault };

/**
 * Fetches the bundle into the sink.
 *
 * @throws Fault UNREACHABLE (no answer, or a broken connection), NOT_FOUND, FORBIDDEN, INVALID_PARAMS, RATE_LIMITED,
 *   TOO_LARGE, DIGEST_MISMATCH, the fault of the signal, and what the sink throws.
 */
export async function download(options: DownloadOptions, sink: DownloadSink): Promise<void> {
  const fetching = new Fetching(options, sink);
  try {
    for (let failures = 0; ;) {
      const before = sink.at;
      const ended = await fetching.connection();
      options.signal.throwIfAborted();
      if (ended.kind === 'done') return;
      failures = sink.at > before ? 1 : failures + 1;
      // Who gets no first byte asks again himself.
      if (!fetching.begun || failures > TRIES) throw ended.fault;
      await (options.sleep ?? pause)(pauseAfter(failures, BACKOFF), options.signal);
      options.signal.throwIfAborted();
    }
  } finally {
    fetching.close();
  }
}

class Fetching {
  readonly #options: DownloadOptions;
  readonly #sink: DownloadSink;
  readonly #label: string;
  readonly #agent: http.Agent;
  /** Of the answer that the sink has the beginning of, if it names one version of the bytes. */
  #etag: string | undefined;
  begun = false;

  constructor(options: DownloadOptions, sink: DownloadSink) {
    this.#options = options;
    this.#sink = sink;
    this.#label = labelOf(options.url);
    // Agents of their own: the global ones may have a proxy of the environment.
    this.#agent =
      options.url.protocol === 'https:'
        ? new https.Agent(options.ca === undefined ? {} : { ca: options.ca })
        : new http.Agent();
  }

  close(): void {
    this.#agent.destroy();
  }

  /** One connection, or more if it redirects. */
  async connection(): Promise<Ended> {
    const patience = new Patience(this.#options);
    let response: IncomingMessage | undefined;
    try {
      response = await this.#answer(patience);
      const skip = await this.#check(response);
      return skip === undefined
        ? this.#broken('the bundle has changed')
        : await this.#take(response, skip, patience);
    } catch (error) {
      this.#options.signal.throwIfAborted();
      return error instanceof Fault ? this.#over(error) : this.#ended(error, patience);
    } finally {
      patience.stop();
      response?.on('error', () => undefined).destroy();
    }
  }

  /** The answer that is no redirect. */
  async #answer(patience: Patience): Promise<IncomingMessage> {
    const { token, from } = this.#options;
    let { url } = this.#options;
    for (let redirects = 0; redirects <= REDIRECTS; redirects += 1) {
      const response = await this.#request(url, patience);
      const { statusCode: status = 0, headers } = response;
      if (![301, 302, 303, 307, 308].includes(status)) {
        return response;
      }
      response.destroy();
      url = redirected(url, headers.location, { from, isSecret: token !== undefined });
    }
    throw new Fault('INVALID_PARAMS', `"${this.#label}" redirects more than ${REDIRECTS} times`, {
      hint: 'Give the URL to which it redirects in the end',
    });
  }

  #request(url: URL, patience: Patience): Promise<IncomingMessage> {
    const { token, signal } = this.#options;
    const { request } = url.protocol === 'https:' ? https : http;
    const headers = {
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'airlock',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...this.#range(),
    };
    return new Promise((resolve, reject) => {
      const asked = request(url, { agent: this.#agent, headers, signal }, resolve);
      asked.on('error', reject);
      // An answer with 101 has no body, and no other listener.
      asked.on('upgrade', (_response, socket) => {
        socket.destroy();
        reject(this.#unusual('switches to another protocol'));
      });
      asked.end();
      patience.start((error) => asked.destroy(error));
    });
  }

  /** Asks for the rest, if it is certain to be the rest of the same bytes: by their version, or because their digest is checked. */
  #range(): Record<string, string> {
    const { at, restart } = this.#sink;
    if (at === 0 || (restart !== undefined && this.#etag === undefined)) {
      return {};
    }
    return { range: `bytes=${at}-`, ...(this.#etag === undefined ? {} : { 'if-range': this.#etag }) };
  }

  /**
   * Looks at the head of an answer.
   *
   * @returns how many bytes of its body the sink has already; undefined if it is to be asked again for all of them.
   */
  async #check({ statusCode: status = 0, headers }: IncomingMessage): Promise<number | undefined> {
    if (status !== 200 && status !== 206 && status !== 416) {
      throw this.#refused(status, headers['retry-after']);
    }
    const encoding = headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity') {
      throw this.#unusual(`sends the bundle in the content encoding "${encoding.slice(0, 64)}"`);
    }
    const { at, restart } = this.#sink;
    const [, first, total] =
      /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(headers['content-range'] ?? '') ?? [];
    const etag = strongOf(headers.etag);
    const isSame = this.#etag === undefined || etag === undefined || etag === this.#etag;
    if (status === 200) {
      this.#etag = etag;
      this.#checkSize(headers['content-length']);
      if (restart === undefined) return at;
      if (at > 0) await restart.call(this.#sink);
      return 0;
    }
    if (status === 206 && at > 0 && Number(first) === at && isSame) {
      this.#checkSize(total);
      return 0;
    }
    if (at === 0 || restart === undefined) {
      throw this.#unusual(`answers HTTP ${status} with other bytes than it was asked for`);
    }
    await restart.call(this.#sink);
    this.#etag = undefined;
    return undefined;
  }

  /** @param text how many bytes all of the bundle has, as the server says. */
  #checkSize(text: string | undefined): void {
    const { size } = this.#options;
    if (text === undefined || !/^\d{1,15}$/.test(text)) return;
    const found = Number(text);
    if (size !== undefined && found !== size) {
      throw new Fault('DIGEST_MISMATCH', `"${this.#label}" has ${found} bytes, but ${size} were declared`, {
        hint: 'The file there is another one, or the declaration is wrong',
        retry: 'never',
      });
    }
    this.#checkLimit(found);
  }

  #checkLimit(bytes: number): void {
    const { most } = this.#options;
    if (bytes > most) {
      throw new Fault('TOO_LARGE', `"${this.#label}" has more than the ${most} bytes that are accepted`, {
        hint: 'Check that the URL is that of a bundle; the owner can raise AIRLOCK_MAX_PACKED',
      });
    }
  }

  async #take(response: IncomingMessage, known: number, patience: Patience): Promise<Ended> {
    const { size } = this.#options;
    let skip = known;
    patience.start((error) => response.destroy(error));
    for await (const chunk of response as AsyncIterable<Buffer>) {
      // The time in which the disk is slow is not the server's.
      patience.stop();
      const bytes = chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
      const end = this.#sink.at + bytes.length;
      if (size !== undefined && end > size) {
        throw new Fault(
          'DIGEST_MISMATCH',
          `"${this.#label}" has more than the ${size} bytes that were declared`,
          {
            retry: 'never',
            hint: 'The file there is another one, or the declaration is wrong',
          },
        );
      }
      this.#checkLimit(end);
      this.begun ||= bytes.length > 0;
      if (bytes.length > 0 && !(await this.#sink.write(bytes))) return { kind: 'done' };
      patience.start((error) => response.destroy(error));
    }
    const isShort = size !== undefined && this.#sink.at < size;
    return isShort || !response.complete ? this.#broken('the answer ended too early') : { kind: 'done' };
  }

  /** A server that is restarting, or that wants fewer requests, may have the rest later. */
  #over(fault: Fault): Ended {
    if (fault.code !== 'UNREACHABLE' && fault.code !== 'RATE_LIMITED') throw fault;
    return { kind: 'broken', fault };
  }

  #ended(error: unknown, patience: Patience): Ended {
    const { code, why, isCertificate } = connectionError(error as Error);
    if (isCertificate) {
      throw new Fault('UNREACHABLE', `${this.#failed} its certificate is not accepted (${code})`, {
        cause: error,
        retry: 'never',
        hint: 'Name the authority of its certificate: AIRLOCK_PULL_CA',
      });
    }
    if (code.startsWith('HPE_')) {
      throw new Fault('UNREACHABLE', `${this.#failed} it does not speak HTTP (${code})`, {
        cause: error,
        retry: 'never',
        hint: 'Check the URL',
      });
    }
    return this.#broken(patience.complaint ?? why, error);
  }

  get #failed(): string {
    return `Fetching "${this.#label}" failed:`;
  }

  #broken(why: string, cause?: unknown): Ended {
    const hint = 'Check the URL, and whether the workspace reaches that server; the agent uses no proxy';
    return { kind: 'broken', fault: new Fault('UNREACHABLE', `${this.#failed} ${why}`, { cause, hint }) };
  }

  #unusual(what: string): Fault {
    return new Fault('INVALID_PARAMS', `The server of "${this.#label}" ${what}`, {
      hint: 'Give a URL that answers with the bytes of the bundle as they are',
    });
  }

  #refused(status: number, after: string | undefined): Fault {
    const detail = `The server of "${this.#label}" answers HTTP ${status}`;
    if (status === 401 || status === 403) {
      const hint =
        this.#options.token === undefined
          ? 'Name a file with a token that the server knows: AIRLOCK_PULL_TOKEN_FILE'
          : 'Check the token in the file that AIRLOCK_PULL_TOKEN_FILE names, which the agent sent';
      return new Fault('FORBIDDEN', detail, { hint });
    }
    if (status === 404 || status === 410) {
      return new Fault('NOT_FOUND', detail, { hint: 'Check the URL' });
    }
    if (status === 429) {
      const wait = /^\d{1,5}$/.test(after ?? '') ? `in ${after} s` : 'later';
      return new Fault('RATE_LIMITED', detail, { hint: `Pull again ${wait}` });
    }
    if (status === 408 || status >= 500) {
      return new Fault('UNREACHABLE', detail, { hint: 'Pull again later' });
    }
    return this.#unusual(`answers HTTP ${status}`);
  }
}

/** A strong validator, which names these very bytes. */
const strongOf = (etag: string | undefined): string | undefined =>
  etag !== undefined && /^"[\u0021\u0023-\u007e]{1,256}"$/.test(etag) ? etag : undefined;

/** How long a server may send nothing. */
class Patience {
  readonly #options: Pick<DownloadOptions, 'clock' | 'idleMillis'>;
  #stop: () => void = () => undefined;
  /** What it ended the connection for. */
  complaint: string | undefined;

  constructor(options: Pick<DownloadOptions, 'clock' | 'idleMillis'>) {
    this.#options = options;
  }

  start(end: (error: Error) => void): void {
    const { clock, idleMillis } = this.#options;
    this.stop();
    this.#stop = clock.after(idleMillis, () => {
      this.complaint = `nothing came for ${Math.round(idleMillis / 1000)} s`;
      end(new Error(this.complaint));
    });
  }

  stop(): void {
    this.#stop();
  }
}
