/** One install over one session: begin, send, commit. */
import { Fault } from '../shared/api/fault.ts';
import type { BeginParams } from '../shared/api/methods.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Bundle } from './bundle.ts';
import { cancelled } from './requests.ts';
import type { Session } from './session.ts';
import { type Progress, upload } from './upload.ts';

const STALL_MILLIS = 30_000;
const ABORT_MILLIS = 5000;

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
  /** Aborts the install: `install.abort`, then CANCELLED. */
  signal?: AbortSignal | undefined;
  /** After this time without credit the agent is asked for the reason; 30 s by default. */
  stallMillis?: number | undefined;
};

/** The parameters of `install.begin`. Undefined ones are not sent. */
export function beginParams(bundle: Bundle, operationId: string, options: InstallOptions): BeginParams {
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
  };
}

/**
 * Installs a bundle over this session, once. If the connection breaks, the caller (or `push`) connects again. When the
 * promise resolves, the install is durable.
 *
 * @throws Fault of the agent's refusal; UNREACHABLE when the connection breaks; CANCELLED by the signal, with executed
 *   `maybe` if the install could no longer be stopped.
 */
export async function install(
  session: Session,
  bundle: Bundle,
  options: InstallOptions & { operationId: string },
): Promise<Installed> {
  const { operationId, signal } = options;
  try {
    const begun = await session.call('install.begin', beginParams(bundle, operationId, options), {
      signal,
    });
    if (begun.status !== 'open') return begun;
    await upload(session, bundle, begun, {
      onProgress: options.onProgress,
      signal,
      stallMillis: options.stallMillis ?? STALL_MILLIS,
    });
    return await session.call('install.commit', { operationId }, { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    throw await giveUp(session, bundle, operationId);
  }
}

/** Asks the agent to stop. The fault says whether that was in time. */
async function giveUp(session: Session, { plugin }: Bundle, operationId: string): Promise<Fault> {
  const what = `Installing "${plugin}"`;
  try {
    const patience = AbortSignal.timeout(ABORT_MILLIS);
    const { aborted } = await session.call('install.abort', { operationId }, { signal: patience });
    if (aborted) return new Fault('CANCELLED', `${what} was cancelled`, { executed: 'no' });
  } catch {
    // Without an answer it is not known, and the fault says so.
  }
  return new Fault('CANCELLED', `${what} was cancelled, but may have taken effect`, {
    cause: cancelled(what),
    executed: 'maybe',
    hint: 'See what is live with "airlock list"',
  });
}
