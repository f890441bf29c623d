/** Pulls: the agent itself fetches a bundle and installs it. */
import { readFile, stat } from 'node:fs/promises';

import type { EventBody } from '../../shared/api/events.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { PullParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { Clock } from '../../shared/clock.ts';
import { textIn } from '../../shared/format/text.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import { questionOf } from '../store/operation-log.ts';
import type { WorkerClient } from '../worker/client.ts';
import { download } from './download.ts';
import type { Failure } from './failure-notes.ts';
import { type Send, uploadOwn } from './own-upload.ts';
import { labelOf, readPullUrl } from './pull-url.ts';
import { Spool } from './spool.ts';
import type { Timeouts } from './upload.ts';
import type { Uploads } from './uploads.ts';

/** The most pulls at once. Further ones wait. */
const AT_ONCE = 8;
const TOKEN_FILE_BYTES = 64 * 1024;

/** The owner's settings for pulls. */
export type PullSettings = {
  tokenFile: string | undefined;
  /** The origins that are allowed; undefined: all. */
  from: readonly string[] | undefined;
  /** A file with the authority of the servers. */
  ca: string | undefined;
};

export type PullsOptions = {
  uploads: Pick<Uploads, 'begin' | 'commit' | 'abort'>;
  worker: Pick<WorkerClient, 'call'>;
  clock: Clock;
  tell: (event: EventBody) => void;
  /** Receives the failures of pulls that were no uploads yet, for the history. */
  failed: (failed: Failure) => void;
  /** Where a bundle of unknown size or digest is kept until it is whole. */
  staging: string;
  timeouts: Timeouts;
  maxPacked: number;
  settings: PullSettings;
};

type Running = {
  plugin: string;
  question: string;
  answer: Promise<Installed>;
  fetching: Fetching;
};

/** A pull until its upload begins. From then on the upload can be aborted, and this can not. */
type Fetching = { abort: AbortController; isUpload: boolean };

/** All pulls by operation id: a repeated request waits for the same answer. */
export class Pulls {
  readonly #options: PullsOptions;
  readonly #running = new Map<string, Running>();
  readonly #semaphore = new Semaphore(AT_ONCE);
  #draining = false;

  constructor(options: PullsOptions) {
    this.#options = options;
  }

  /** The pulls that are no uploads yet. */
  get running(): { plugin: string; operationId: string }[] {
    return [...this.#running]
      .filter(([, { fetching }]) => !fetching.isUpload)
      .map(([operationId, { plugin }]) => ({ plugin, operationId }));
  }

  /**
   * Fetches a bundle and installs it.
   *
   * @param by the label of the caller.
   * @throws Fault of the download or the install; CONFLICT, DRAINING
   */
  async pull(params: PullParams, by: string): Promise<Installed> {
    if (this.#draining) {
      throw new Fault('DRAINING', 'The agent is shutting down', { hint: 'Connect again in a moment' });
    }
    const { operationId, plugin } = params;
    const question = questionOf({ ...params, op: 'pull' });
    const under = this.#running.get(operationId);
    if (under === undefined) {
      const fetching = { abort: new AbortController(), isUpload: false };
      const answer = this.#once(params, by, question, fetching).finally(() =>
        this.#running.delete(operationId),
      );
      this.#running.set(operationId, { plugin, question, answer, fetching });
      return answer;
    }
    if (under.question !== question) {
      throw new Fault('CONFLICT', `The operation id "${operationId}" is in use with other parameters`, {
        hint: 'Use a fresh operation id for each new operation, and the same one only to ask again',
      });
    }
    return under.answer;
  }

  /** @returns whether a pull of that id was aborted before it became an upload. */
  abort(operationId: string, fault = new Fault('CANCELLED', 'The pull was aborted by its client')): boolean {
    const fetching = this.#running.get(operationId)?.fetching;
    if (fetching === undefined || fetching.isUpload) {
      return false;
    }
    fetching.abort.abort(fault);
    return true;
  }

  /** Begins no more pulls, aborts those that are no uploads yet, and waits for all. */
  async drain(): Promise<void> {
    this.#draining = true;
    const fault = new Fault('DRAINING', 'The agent is shutting down', { hint: 'Pull again when it is back' });
    const answers = [...this.#running].map(([operationId, { answer }]) => {
      this.abort(operationId, fault);
      return answer;
    });
    await Promise.allSettled(answers);
  }

  async #once(params: PullParams, by: string, question: string, fetching: Fetching): Promise<Installed> {
    const { operationId, plugin } = params;
    const { worker, tell, failed } = this.#options;
    const known = await worker.call('operations.installed', { operationId, question });
    if (known !== undefined) {
      return known;
    }
    try {
      return await this.#semaphore.run(() => this.#fetch(params, by, question, fetching));
    } catch (error) {
      const fault = toFault(error, `Pulling "${plugin}"`);
      if (!fetching.isUpload) {
        tell({ type: 'install.failed', data: { operationId, plugin, error: fault.toData() } });
        failed({ plugin, op: 'install', operationId, by, fault });
      }
      throw fault;
    }
  }

  async #fetch(params: PullParams, by: string, question: string, fetching: Fetching): Promise<Installed> {
    const { uploads, clock, staging, timeouts, maxPacked, settings } = this.#options;
    const { url: text, bundle, ...wishes } = params;
    const { signal } = fetching.abort;
    const url = readPullUrl(text, settings.from);
    const [token, ca] = await Promise.all([tokenIn(settings.tokenFile), authorityIn(settings.ca)]);
    const options = {
      url,
      from: settings.from,
      token,
      ca,
      most: maxPacked,
      idleMillis: timeouts.stall,
      clock,
    };
    const install = (known: { size: number; sha256: string }, send: Send): Promise<Installed> => {
      signal.throwIfAborted();
      fetching.isUpload = true;
      const begin = { ...wishes, bundle: known, source: labelOf(url) };
      return uploadOwn(uploads, begin, by, send, question);
    };
    if (bundle?.size !== undefined) {
      const { size, sha256 } = bundle;
      return install({ size, sha256 }, (sink, failed) =>
        download({ ...options, size, signal: failed }, sink),
      );
    }
    signal.throwIfAborted();
    const spool = await Spool.open(staging, params.plugin);
    try {
      await this.#within(fetching, () => download({ ...options, size: undefined, signal }, spool));
      if (spool.at === 0) {
        throw new Fault('ARCHIVE_CORRUPT', `"${labelOf(url)}" is empty`, {
          hint: 'Give the URL of a bundle',
        });
      }
      const known = { size: spool.at, sha256: bundle?.sha256 ?? spool.sha256 };
      return await install(known, async (sink) => {
        for await (const chunk of spool.read()) {
          if (!(await sink.write(chunk))) break;
        }
      });
    } finally {
      await spool.close();
    }
  }

  /** An upload has a deadline of its own. */
  async #within(fetching: Fetching, work: () => Promise<void>): Promise<void> {
    const { clock, timeouts } = this.#options;
    const late = new Fault(
      'DEADLINE',
      `The bundle did not come within ${Math.round(timeouts.deadline / 1000)} s`,
      {
        hint: 'Pull again; the owner can raise AIRLOCK_DEADLINE_SECONDS',
      },
    );
    const stop = clock.after(timeouts.deadline, () => fetching.abort.abort(late));
    try {
      await work();
    } finally {
      stop();
    }
  }
}

/** The token of the owner. @throws Fault INTERNAL: the caller can do nothing about it. */
async function tokenIn(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) {
    return undefined;
  }
  const reading = textIn(await contentOf('AIRLOCK_PULL_TOKEN_FILE', file));
  const token = reading.kind === 'text' ? reading.text.trim() : '';
  if (!/^[\u0021-\u007e]+$/.test(token)) {
    throw new Fault('INTERNAL', `The file "${file}" does not hold one token`, {
      hint: 'Write the token, and nothing else, into the file that AIRLOCK_PULL_TOKEN_FILE names',
    });
  }
  return token;
}

const authorityIn = async (file: string | undefined): Promise<Buffer | undefined> =>
  file === undefined ? undefined : contentOf('AIRLOCK_PULL_CA', file);

async function contentOf(setting: string, file: string): Promise<Buffer> {
  try {
    const stats = await stat(file);
    if (!stats.isFile() || stats.size > TOKEN_FILE_BYTES) {
      throw new Error('it is no regular file, or too large');
    }
    return await readFile(file);
  } catch (error) {
    throw new Fault('INTERNAL', `The file "${file}" cannot be read: ${(error as Error).message}`, {
      cause: error,
      hint: `Let ${setting} name a file that the agent may read`,
    });
  }
}
