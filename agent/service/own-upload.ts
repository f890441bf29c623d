/** An upload whose bytes come from this process instead of a connection. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { Inflow } from './upload.ts';
import type { Uploads } from './uploads.ts';

/** Writes a bundle into the sink. The signal is aborted when the upload has failed. */
export type Send = (sink: Sink, failed: AbortSignal) => Promise<void>;

/** Takes the bytes of a bundle, in order. */
export type Sink = {
  /** How many bytes it has taken. */
  readonly at: number;
  /** Takes bytes when there is room for them. @returns false if no more are wanted: the upload has failed. */
  write(bytes: Buffer): Promise<boolean>;
};

/** Larger pieces are cut, so that each fits into the window. */
const PIECE_BYTES = 64 * 1024;

/**
 * Installs a bundle that this process has or fetches. It sends as far as it has credit.
 *
 * @param by the label of the caller. @param send writes the bundle; it is not called if the bundle is live already.
 * @param question the digest of the request, if it is another one than `install.begin`.
 * @throws Fault of the install; what `send` throws, and then the upload is aborted.
 */
export async function uploadOwn(
  uploads: Pick<Uploads, 'begin' | 'commit' | 'abort'>,
  params: BeginParams,
  by: string,
  send: Send,
  question?: string,
): Promise<Installed> {
  const { operationId, bundle } = params;
  const credit = new Credit();
  let inflow: Inflow | undefined;
  const begun = await uploads.begin(
    params,
    by,
    (upload) => {
      inflow = upload;
      return { stream: 0, grant: (_, limit) => credit.grant(limit), drop: () => credit.drop() };
    },
    question,
  );
  if (begun.status !== 'open') {
    return begun;
  }
  credit.grant(begun.limit);
  let at = begun.offset;
  const sink: Sink = {
    get at() {
      return at;
    },
    write: async (bytes) => {
      for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
        const piece = bytes.subarray(from, from + PIECE_BYTES);
        const end = at + piece.length;
        // The upload itself refuses more bytes than were declared.
        if (!(await credit.upTo(Math.min(end, bundle.size)))) {
          return false;
        }
        inflow?.accept(at, piece, end === bundle.size);
        at = end;
      }
      return !credit.dropped;
    },
  };
  try {
    await send(sink, credit.failed);
    if (at !== bundle.size && !credit.dropped) {
      throw new Fault('DIGEST_MISMATCH', `${at} bytes came in, but ${bundle.size} were declared`, {
        hint: 'Declare the real size of the bundle',
      });
    }
  } catch (error) {
    if (credit.dropped) {
      return uploads.commit(operationId);
    }
    uploads.abort(operationId, toFault(error, `Sending "${params.plugin}"`));
    throw error;
  }
  return uploads.commit(operationId);
}

/** The credit of the upload. It ends if the upload fails; its commit has the reason. */
class Credit {
  #limit = 0;
  readonly #failed = new AbortController();
  #wake: () => void = () => undefined;

  get dropped(): boolean {
    return this.failed.aborted;
  }

  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  grant(limit: number): void {
    this.#limit = limit;
    this.#wake();
  }

  drop(): void {
    this.#failed.abort();
    this.#wake();
  }

  /** Waits until bytes up to the offset may be sent. @returns false if no more bytes are wanted. */
  async upTo(offset: number): Promise<boolean> {
    while (offset > this.#limit && !this.dropped) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return !this.dropped;
  }
}
