/**
 * Whether an agent is reachable, is definitely not running, or cannot be told now. Only this file decides it, for the
 * whole client and for every command: it makes the faults that say so, and it reads them. `test/lint/reach.test.ts` is
 * red for a second place.
 */
import { connectionError } from '../shared/api/connection-error.ts';
import { externalFault } from '../shared/api/external.ts';
import { Fault, type FaultCode, faultDataSchema, toFault } from '../shared/api/fault.ts';
import { CLOSE } from '../shared/api/rpc.ts';
import { unlessAborted } from './abort.ts';

/** The three answers. Only `not-running` is certain. */
export type Reached<S> =
  | { state: 'reachable'; session: S }
  | { state: 'not-running'; why: string }
  | { state: 'unknown'; error: Fault };

/** What the owner of a workspace knows of it. A look-up that fails gives no answer and stops nothing. */
export type Knowledge = {
  /** Called when the connection fails: says why the workspace is definitely not running, undefined if it may be. */
  notRunning?: (() => Promise<string | undefined>) | undefined;
  /**
   * Called before connecting: where an external workspace pulls its plugins, undefined for a workspace that is not
   * external. Such a workspace refuses a push, a rollback and an uninstall.
   */
  externalPull?: (() => Promise<string | undefined>) | undefined;
  /**
   * The caller wants to ask and not to change: connect to an external workspace too. The session refuses what such a
   * workspace refuses.
   */
  queriesOnly?: boolean | undefined;
};

/**
 * Decides between the three answers.
 *
 * @param give makes a session, or throws a fault. @param label what is connected to, for messages.
 * @throws Fault if an agent refuses, if another program answers (UNREACHABLE, retry `never`), RUNTIME_EXTERNAL, CANCELLED
 */
export async function reachBy<S>(
  give: () => Promise<S>,
  label: string,
  { notRunning, externalPull, queriesOnly, signal }: Knowledge & { signal?: AbortSignal | undefined },
): Promise<Reached<S>> {
  const what = `Connecting to ${label}`;
  if (queriesOnly !== true) await unlessAborted(refuseExternal(externalPull), signal, what);
  let error: Fault;
  try {
    return { state: 'reachable', session: await give() };
  } catch (thrown) {
    error = toFault(thrown, what);
    // The error proves nothing: a sidecar may be starting again.
    if (!isUnknown(error)) throw error;
  }
  const why = await unlessAborted(asked(notRunning), signal, what);
  return why === undefined ? { state: 'unknown', error } : { state: 'not-running', why };
}

/** The session of an answer. @throws Fault UNREACHABLE: retry `later` if it cannot be told, `never` if it does not run. */
export function sessionOf<S>(reached: Reached<S>): S {
  switch (reached.state) {
    case 'reachable':
      return reached.session;
    case 'unknown':
      throw reached.error;
    case 'not-running':
      throw doesNotRun(reached.why);
    default:
      return reached satisfies never;
  }
}

/** The faults that the owner's word has made. An answer by another program has the same code. */
const OWNERS_WORD = new WeakSet<Fault>();

function doesNotRun(why: string): Fault {
  const fault = new Fault('UNREACHABLE', `The workspace is not running: ${why}`, {
    retry: 'never',
    hint: 'Start the workspace first',
  });
  OWNERS_WORD.add(fault);
  return fault;
}

/** @throws Fault RUNTIME_EXTERNAL if the owner says that the workspace is external. */
export async function refuseExternal(externalPull: Knowledge['externalPull']): Promise<void> {
  const where = await asked(externalPull);
  if (where !== undefined) {
    throw externalFault(where);
  }
}

async function asked(look: (() => Promise<string | undefined>) | undefined): Promise<string | undefined> {
  try {
    return await look?.();
  } catch {
    return undefined;
  }
}

/** No agent has answered: nobody did, another program did, or the connection broke. */
export const isNotReached = ({ code }: Fault): boolean => code === 'UNREACHABLE';

/** Whether it is unknown if the agent runs: the connection failed, and no other program answered. */
const isUnknown = (fault: Fault): boolean => isNotReached(fault) && fault.retry !== 'never';

/** Whether the agent has asked to come again later: it restarts, or too many clients come at once. */
export const isToldToWait = ({ code, retry }: Fault): boolean =>
  retry !== 'never' && (code === 'DRAINING' || code === 'RATE_LIMITED');

/** Refusals of an upload that the agent takes again: it was given up, forgotten, or taken over by another connection. */
const BEGIN_AGAIN: ReadonlySet<FaultCode> = new Set<FaultCode>(['DEADLINE', 'NOT_FOUND', 'CONFLICT']);

const isToBeginAgain = ({ code, retry, executed }: Fault): boolean =>
  BEGIN_AGAIN.has(code) && retry === 'same' && executed === 'no';

/**
 * Whether a push may succeed if it connects again. A workspace of which the owner says that it does not run is not tried
 * again, also if it was reached before.
 *
 * @param fault as it was thrown.
 * @param reached the agent was reached before. Then an answer by another program is temporary: while the agent restarts,
 *   a proxy may answer in its place.
 */
export const mayReconnect = (fault: Fault, reached: boolean): boolean =>
  !OWNERS_WORD.has(fault) &&
  ((reached ? isNotReached(fault) : isUnknown(fault)) || isToldToWait(fault) || isToBeginAgain(fault));

/** The same for a client that follows the events of an agent, and has reached it before. */
export const mayFollowAgain = (fault: Fault): boolean => fault.retry !== 'never' || isNotReached(fault);

const STOPPING: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'UNREACHABLE',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'DRAINING',
  'RUNTIME_EXTERNAL',
]);

/** Whether a change of any other plugin would fail in the same way. */
export const stopsAll = ({ code }: Fault): boolean => STOPPING.has(code);

/** The connection failed. That alone says nothing about the agent. */
export function unreachable(label: string, why: string, cause?: unknown): Fault {
  return new Fault('UNREACHABLE', `Connecting to ${label} failed: ${why}`, {
    cause,
    hint: 'Check that the agent runs, that the address is right and that the network lets you through',
  });
}

/** A program answers at this address, but it is not an agent for this client. */
export function noAgent(label: string, why: string, cause?: unknown): Fault {
  return new Fault('UNREACHABLE', `The server at ${label} is not an Airlock agent: ${why}`, {
    cause,
    retry: 'never',
    hint: 'Check the address: host, port and path',
  });
}

/** A connection that stood has ended. What was asked may have been done. */
export const lost = (label: string, why: string): Fault =>
  new Fault('UNREACHABLE', `The connection to ${label} broke: ${why}`, {
    retry: 'same',
    executed: 'maybe',
    hint: 'Ask again with the same operation id: an operation that is done is not repeated',
  });

/** Why an agent has ended a connection, if the code says so. It was reached. */
export function dismissal(label: string, code: number | undefined): Fault | undefined {
  const who = `The agent at ${label}`;
  switch (code) {
    case CLOSE.draining:
      return new Fault('DRAINING', `${who} is shutting down`, { hint: 'Try again in a moment' });
    case CLOSE.tokenGone:
      return new Fault('UNAUTHENTICATED', `${who} no longer accepts this token`);
    case CLOSE.tooMany:
      return new Fault('RATE_LIMITED', `${who} has too many connections`, { hint: 'Try again later' });
    case undefined:
    default:
      return undefined;
  }
}

/** A request that was not sent, because the connection is gone. */
export const unsent = (broken: Fault): Fault =>
  new Fault('UNREACHABLE', broken.message, { retry: 'same', hint: broken.hint, cause: broken });

/** A request that was not sent, because this side closes the connection. */
export const closing = (): Fault =>
  new Fault('UNREACHABLE', 'The connection is being closed', { retry: 'same' });

/** An agent that dials out has not, or not again. */
export const away = (workspace: string): Fault =>
  new Fault('UNREACHABLE', `The agent of workspace "${workspace}" is not connected`, {
    hint: 'Ask again when it is: the agent tries at least once a minute, and its log says why it fails',
  });

/** What the error of a socket says about the agent. */
export function socketFault(label: string, error: Error): Fault {
  const { code, why, isCertificate } = connectionError(error);
  if (code.startsWith('HPE_') || /subprotocol|Sec-WebSocket|Upgrade header/.test(error.message)) {
    return noAgent(label, error.message, error);
  }
  const fault = unreachable(label, why, error);
  if (isCertificate) {
    const { code: unreached, message, cause } = fault;
    return new Fault(unreached, message, {
      cause,
      hint: 'Name the authority of its certificate (--ca), and the certificate that it asks for (--cert, --key)',
    });
  }
  return fault;
}

const REFUSALS: Readonly<Record<number, readonly [FaultCode, string, string | undefined]>> = {
  401: [
    'UNAUTHENTICATED',
    'it does not know the token',
    'Pass a token that this agent knows: AIRLOCK_TOKEN, or a token file',
  ],
  403: [
    'FORBIDDEN',
    'it does not admit this caller',
    'Check what a proxy in between adds, such as an Origin header',
  ],
  429: ['RATE_LIMITED', 'there were too many failed attempts or connections', undefined],
  503: ['DRAINING', 'it is shutting down', 'Try again when the agent has been started again'],
};

/** What an answer other than the upgrade says about the agent. @param wait the header `Retry-After`. */
export function refusal(label: string, status: number, wait: string | undefined, body: string): Fault {
  const said = faultIn(body);
  const retryAfter = wait !== undefined && /^\d{1,5}$/.test(wait) ? Number(wait) : undefined;
  if (said?.status === status) {
    const { code, message, hint, retry } = said;
    return new Fault(code, message, { hint, retry, retryAfter: said.retryAfter ?? retryAfter });
  }
  const known = REFUSALS[status];
  if (known !== undefined) {
    const [code, why, hint] = known;
    const later = retryAfter === undefined ? 'Try again later' : `Try again in ${retryAfter} s`;
    return new Fault(code, `The agent at ${label} refused the connection: ${why}`, {
      hint: hint ?? later,
      retryAfter,
    });
  }
  if (status >= 500) {
    return unreachable(label, `HTTP ${status}`);
  }
  if (status >= 300 && status < 400) {
    return noAgent(label, `it redirects (HTTP ${status}), and a client with a token follows no redirect`);
  }
  return noAgent(label, `it answers HTTP ${status}`);
}

function faultIn(body: string): Fault | undefined {
  try {
    const json: unknown = JSON.parse(body);
    const inner = typeof json === 'object' && json !== null && 'error' in json ? json.error : json;
    const read = faultDataSchema.safeParse(inner);
    return read.success ? Fault.from(read.data) : undefined;
  } catch {
    return undefined;
  }
}
