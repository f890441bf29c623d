/** Sends a bundle over one session, never beyond the agent's credit. */
import { type FileHandle, open } from 'node:fs/promises';

import { Fault } from '../shared/api/fault.ts';
import { FRAME_DATA_BYTES } from '../shared/api/frame.ts';
import type { Bundle } from './bundle.ts';
import { cancelled } from './abort.ts';
import type { Session } from './session.ts';

/** The progress of an upload: bytes that were sent, and the size of the bundle. */
export type Progress = { sent: number; total: number };

export type UploadOptions = {
  onProgress: ((progress: Progress) => void) | undefined;
  signal: AbortSignal | undefined;
  /** After this long without credit the sender stops and asks the agent for the reason. */
  stallMillis: number;
};

/** So much of the file is read at once: each read costs a way to another thread and back. */
const READ_BYTES = 4 * FRAME_DATA_BYTES;

/** `stalled`: the agent gave no credit in time; its answer to the commit has the reason. */
export type UploadEnd = 'sent' | 'stalled';

/**
 * Sends the bytes from `at.offset` to the end.
 *
 * @throws Fault of a reset by the agent; UNREACHABLE; CANCELLED; INVALID_PARAMS if the file has changed since it was
 *   measured.
 */
export async function upload(
  session: Session,
  bundle: Bundle,
  at: { stream: number; offset: number; limit: number },
  options: UploadOptions,
): Promise<UploadEnd> {
  const { size } = bundle;
  const { signal, onProgress } = options;
  const credit = session.outgoing(at.stream, at.limit);
  const onAbort = (): void => credit.fail(cancelled(`Sending "${bundle.plugin}"`));
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  let file: FileHandle | undefined;
  try {
    file = await open(bundle.file, 'r').catch((error: unknown) => {
      throw changed(bundle, error);
    });
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    let sent = at.offset;
    onProgress?.({ sent, total: size });
    // Whoever sent the last byte may have been cut off before the FIN. It may come twice.
    if (sent === size) {
      await session.send({ stream: at.stream, offset: sent, fin: true, data: buffer.subarray(0, 0) });
    }
    while (sent < size) {
      if ((await credit.credit(sent, options.stallMillis)) === 'stalled') return 'stalled';
      const want = Math.min(READ_BYTES, credit.limit - sent, size - sent);
      const { bytesRead } = await file.read(buffer, 0, want, sent);
      if (bytesRead === 0) throw changed(bundle, undefined);
      for (let from = 0; from < bytesRead; from += FRAME_DATA_BYTES) {
        const data = buffer.subarray(from, Math.min(from + FRAME_DATA_BYTES, bytesRead));
        const fin = sent + data.length === size;
        await credit.unlessFailed(session.send({ stream: at.stream, offset: sent, fin, data }));
        sent += data.length;
        onProgress?.({ sent, total: size });
      }
    }
    return 'sent';
  } finally {
    await file?.close();
    signal?.removeEventListener('abort', onAbort);
    session.release(at.stream);
  }
}

const changed = ({ file, size }: Bundle, cause: unknown): Fault =>
  new Fault('INVALID_PARAMS', `The bundle "${file}" no longer holds its ${size} bytes`, {
    cause,
    hint: 'Pack it again and do not touch it while it is being sent',
  });
