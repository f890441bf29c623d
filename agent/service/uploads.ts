/**
 * All uploads by operation id. A repeated request is safe, uploads of the same bundle wait for each other, and all get
 * one answer.
 */
import { Fault, toFault } from '../../shared/api/fault.ts';
import { withoutDelta } from '../../shared/api/install.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { WorkerClient } from '../worker/client.ts';
import { type Link, type UploadDependencies, Upload } from './upload.ts';

export type Begun = Installed | { status: 'open'; stream: number; offset: number; limit: number };

export class Uploads {
  readonly #dependencies: UploadDependencies;
  readonly #worker: Pick<WorkerClient, 'call'>;
  readonly #uploads = new Map<string, Upload>();
  /** The uploads that still have a thread. A failed one that was begun again is here twice but known once by its id. */
  readonly #running = new Set<Upload>();
  #draining = false;

  constructor(dependencies: UploadDependencies, worker: Pick<WorkerClient, 'call'>) {
    this.#dependencies = dependencies;
    this.#worker = worker;
  }

  /**
   * Begins an install, continues one whose connection broke, or gives the known answer.
   *
   * @param by the label of the caller. @param link makes the stream if bytes are needed. @param question the digest of the
   *   request, if it is another one than `install.begin`.
   * @throws Fault CONFLICT, HELD, TOO_LARGE, NO_SPACE, DRAINING …
   */
  async begin(
    params: BeginParams,
    by: string,
    link: (upload: Upload) => Link,
    question?: string,
  ): Promise<Begun> {
    const known = this.#known(params, question);
    if (known !== undefined && !known.receiving) {
      // Also while the agent shuts down: what is sealed is finished, and has an answer.
      return known.commit();
    }
    this.#refuseWhileDraining();
    const upload = known ?? this.#open(params, by, question);
    const answer = await upload.opened;
    if (answer !== undefined) {
      return answer;
    }
    if (!upload.receiving) {
      // It was aborted or committed just now.
      return upload.commit();
    }
    const to = this.#linkOrGiveUp(upload, known === undefined, link);
    return { status: 'open', stream: to.stream, ...upload.attach(to) };
  }

  /** @throws Fault NOT_FOUND, CONFLICT if bytes are missing, or the fault of the install. */
  async commit(operationId: string): Promise<Installed> {
    const upload = this.#uploads.get(operationId);
    if (upload !== undefined) {
      return upload.commit();
    }
    const answer = await this.#worker.call('operations.installed', { operationId });
    if (answer === undefined) {
      throw new Fault('NOT_FOUND', `There is no operation "${operationId}" here`, {
        hint: 'Begin it again: a restarted agent forgets the operations that had not ended',
        retry: 'same',
      });
    }
    return answer;
  }

  /** @returns whether the operation was aborted; false if there is none, it has ended, or its swap has begun. */
  abort(
    operationId: string,
    fault = new Fault('CANCELLED', 'The install was aborted by its client'),
  ): boolean {
    return this.#uploads.get(operationId)?.abort(fault) ?? false;
  }

  /** The running uploads. */
  get running(): { plugin: string; operationId: string }[] {
    return [...this.#running].map(({ params: { plugin, operationId } }) => ({ plugin, operationId }));
  }

  /** Begins no more uploads, aborts what is not sealed, and waits for the rest. */
  async drain(): Promise<void> {
    this.#draining = true;
    const uploads = [...this.#running];
    for (const upload of uploads) {
      upload.abort(
        new Fault('DRAINING', 'The agent is shutting down', { hint: 'Begin again when it is back' }),
      );
    }
    await Promise.all(uploads.map((upload) => upload.settled()));
  }

  #refuseWhileDraining(): void {
    if (this.#draining) {
      throw new Fault('DRAINING', 'The agent is shutting down', { hint: 'Connect again in a moment' });
    }
  }

  /** The upload with that id, unless it has failed, or receives other bytes: such a one begins again. */
  #known(params: BeginParams, question: string | undefined): Upload | undefined {
    const known = this.#uploads.get(params.operationId);
    if (known === undefined || known.failed) {
      return undefined;
    }
    // How the bytes travel is no part of the question.
    if (known.question !== question || !sameQuestion(withoutDelta(known.params), withoutDelta(params))) {
      throw new Fault(
        'CONFLICT',
        `The operation id "${params.operationId}" is in use with other parameters`,
        {
          hint: 'Use a fresh operation id for each new operation, and the same one only to ask again',
        },
      );
    }
    if (known.receiving && !sameQuestion(known.params, params)) {
      // Its bytes are not those that come now: with a delta instead of the whole bundle, or the other way round.
      known.abort(
        new Fault('CANCELLED', 'The same operation was begun again, and its bytes are sent in another way'),
      );
      return undefined;
    }
    return known;
  }

  #open(params: BeginParams, by: string, question: string | undefined): Upload {
    // With the same plugin and bundle, the success of the first makes the second one present without a byte. It waits for
    // the latest of them, so that after failures the others still run one after another.
    const twin = [...this.#uploads.values()].findLast((other) => isTwin(other, params));
    const upload = new Upload(params, by, this.#dependencies, question);
    this.#uploads.set(params.operationId, upload);
    this.#running.add(upload);
    this.#forgetLater(params.operationId, upload);
    void this.#startAfter(upload, twin);
    return upload;
  }

  async #startAfter(upload: Upload, twin: Upload | undefined): Promise<void> {
    await twin?.settled();
    await upload.start();
  }

  /** A new upload that gets no stream is aborted: nothing would continue it, and it holds a thread. */
  #linkOrGiveUp(upload: Upload, fresh: boolean, link: (upload: Upload) => Link): Link {
    try {
      return link(upload);
    } catch (error) {
      if (fresh) {
        upload.abort(toFault(error, 'Opening a stream'));
      }
      throw error;
    }
  }

  #forgetLater(operationId: string, upload: Upload): void {
    const forget = (): void => {
      if (this.#uploads.get(operationId) === upload) {
        this.#uploads.delete(operationId);
      }
    };
    const { clock, timeouts } = this.#dependencies;
    upload
      .settled()
      .then(() => this.#running.delete(upload))
      .then(() => (upload.failed ? clock.after(timeouts.resume, forget) : forget()))
      .catch(() => undefined);
  }
}

const isTwin = (other: Upload, { plugin, bundle }: BeginParams): boolean =>
  !other.failed && other.params.plugin === plugin && other.params.bundle.sha256 === bundle.sha256;

function sameQuestion(a: BeginParams, b: BeginParams): boolean {
  const sorted = (params: BeginParams): string =>
    JSON.stringify(Object.entries(params).toSorted(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
}
