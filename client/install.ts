/** One install over one session: begin, send, commit. */
import { Fault, toFault, withExecuted } from '../shared/api/fault.ts';
import type { BeginParams } from '../shared/api/methods.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Bundle } from './bundle.ts';
import { cancelled } from './abort.ts';
import { type DeltaBundle, knowsDeltas } from './delta.ts';
import { isNotReached } from './reach.ts';
import type { Session } from './session.ts';
import { abortInstall, type AbortResult } from './stop.ts';
import { type Progress, upload, type UploadEnd, type UploadOptions } from './upload.ts';

const STALL_MILLIS = 30_000;

/** The options of an install; each field as in `install.begin`. */
export type InstallOptions = {
  /** Chosen by the caller, so that the install is safe to repeat; a new one by default. */
  operationId?: string | undefined;
  source?: string | undefined;
  /** The install that must be live: an installId, or null for nothing. */
  expect?: string | null | undefined;
  pin?: string | undefined;
  links?: 'copy' | 'skip' | 'refuse' | undefined;
  restart?: boolean | undefined;
  force?: boolean | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the install: `install.abort`, then CANCELLED. An install whose swap has begun is not stopped any more. */
  signal?: AbortSignal | undefined;
  /** After this time without credit the agent is asked for the reason; 30 s by default. */
  stallMillis?: number | undefined;
};

/** What the agent is told of the bytes besides the bundle. */
type BytesSent = { delta?: DeltaBundle | undefined; saysUnpacked?: boolean | undefined };

/** The parameters of `install.begin`. Undefined ones are not sent. */
export function beginParams(
  bundle: Bundle,
  operationId: string,
  options: InstallOptions,
  { delta, saysUnpacked = false }: BytesSent = {},
): BeginParams {
  const { expect, source, pin, links, restart, force } = options;
  return {
    operationId,
    plugin: bundle.plugin,
    bundle: { size: bundle.size, sha256: bundle.sha256 },
    ...(bundle.tree === undefined ? {} : { tree: bundle.tree }),
    ...(source === undefined ? {} : { source }),
    ...(expect === undefined ? {} : { expect: { installId: expect } }),
    ...(pin === undefined ? {} : { pin }),
    ...(links === undefined ? {} : { links }),
    ...(restart === undefined ? {} : { restart }),
    ...(force === undefined ? {} : { force }),
    ...(delta === undefined
      ? {}
      : {
          delta: {
            base: delta.base,
            size: delta.sent.size,
            sha256: delta.sent.sha256,
            copied: delta.copied,
          },
        }),
    ...(saysUnpacked && bundle.bytes !== undefined ? { unpacked: bundle.bytes } : {}),
  };
}

/** How far an install over one session has come. `open`: the operation has not been executed before. @internal */
export type InstallProgress = 'begin' | 'open' | 'commit';

/**
 * Installs a bundle over this session, once. If the connection breaks, the caller (or `push`) connects again. When the
 * promise resolves, the install is durable. The signal aborts it, unless the swap has begun: then it resolves with the
 * answer all the same.
 *
 * @throws Fault of the agent's refusal; UNREACHABLE when the connection breaks; CANCELLED by the signal, with executed
 *   `maybe` if the agent did not say in time whether it was too late.
 */
export async function install(
  session: Session,
  bundle: Bundle,
  options: InstallOptions & { operationId: string },
): Promise<Installed> {
  const { operationId, signal } = options;
  let phase: InstallProgress | undefined;
  try {
    return await attemptInstall(session, bundle, options, (now) => {
      phase = now;
    });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    const result: AbortResult | undefined =
      phase === undefined ? { executed: 'no' } : await abortInstall(session, operationId);
    const stopped: AbortResult = result ?? { executed: phase === 'open' ? 'no' : 'maybe' };
    if ('answer' in stopped) return stopped.answer;
    throw cancelledInstall(bundle, stopped);
  }
}

/** The fault of an install that its caller has stopped. */
export function cancelledInstall(
  { plugin }: Bundle,
  { executed, why }: { executed: 'no' | 'maybe'; why?: Fault | undefined },
): Fault {
  const what = `Installing "${plugin}" was cancelled`;
  if (executed === 'no') return new Fault('CANCELLED', what, { executed, cause: why });
  return new Fault('CANCELLED', `${what}, but may have taken effect`, {
    executed,
    cause: why,
    hint: 'See what is live with "airlock list"',
  });
}

/**
 * As {@link install}, but the signal only ends the waiting: the agent is not told.
 *
 * @param reached called for each phase, before its first request; `offset` is the byte at which an open upload goes on.
 * @param delta is sent instead of the bundle.
 * @internal
 */
export async function attemptInstall(
  session: Session,
  bundle: Bundle,
  options: InstallOptions & { operationId: string },
  reached: (phase: InstallProgress, offset: number) => void,
  delta?: DeltaBundle,
): Promise<Installed> {
  const { operationId, signal, onProgress, stallMillis = STALL_MILLIS } = options;
  const saysUnpacked = knowsDeltas(session);
  const params = beginParams(bundle, operationId, options, { delta, saysUnpacked });
  const sent = delta?.sent ?? bundle;
  if (signal?.aborted === true) throw cancelled(`Installing "${bundle.plugin}"`);
  for (;;) {
    reached('begin', 0);
    const begun = await session.call('install.begin', params, { signal });
    if (begun.status !== 'open') return begun;
    reached('open', begun.offset);
    const end = await uploadOrAbort(session, sent, operationId, begun, { onProgress, signal, stallMillis });
    reached('commit', sent.size);
    try {
      return await session.call('install.commit', { operationId }, { signal });
    } catch (error) {
      // Without credit there may be a reason, which is the answer to the commit. If the agent still waits for bytes, it is only slow.
      const isSlow = end === 'stalled' && error instanceof Fault && isIncomplete(error);
      if (!isSlow) throw error;
    }
  }
}

/** The agent still receives: bytes are missing. */
const isIncomplete = ({ code, retry }: Fault): boolean => code === 'CONFLICT' && retry === 'same';

/** An upload that ends on this side, because its file has changed for example, leaves nothing behind in the agent. */
async function uploadOrAbort(
  session: Session,
  bundle: Bundle,
  operationId: string,
  begun: { stream: number; offset: number; limit: number },
  options: UploadOptions,
): Promise<UploadEnd> {
  try {
    return await upload(session, bundle, begun, options);
  } catch (error) {
    // Bytes alone change nothing.
    if (error instanceof Fault && isNotReached(error)) throw withExecuted(error, 'no');
    const isOwn = !(error instanceof Fault) || error.code === 'INVALID_PARAMS';
    if (!isOwn) throw error;
    if (options.signal?.aborted !== true) await abortInstall(session, operationId);
    throw withExecuted(toFault(error, `Sending "${bundle.plugin}"`), 'no');
  }
}
