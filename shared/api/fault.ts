/**
 * The one error class of Airlock and its closed list of codes.
 *
 * A fault says what was being done, why it failed and what to do about it. On the wire it is the `data` of a
 * JSON-RPC error; `status` is the HTTP status with which a platform would answer for it.
 */
import * as z from 'zod';

import { firstOf } from '../truncate.ts';

type Retry = 'never' | 'same' | 'later';

/** Code → the HTTP status, whether another try can help, and the title for people. */
const CODES = {
  INVALID_PARAMS: [400, 'never', 'What was given is not valid'],
  UNAUTHENTICATED: [401, 'never', 'The token is missing or not known here'],
  FORBIDDEN: [403, 'never', 'This token may not do that'],
  NOT_FOUND: [404, 'never', 'There is no such thing here'],
  CONFLICT: [409, 'never', 'The plugin or the operation is in another state than the request expects'],
  HELD: [409, 'never', 'The plugin is held'],
  TOO_LARGE: [413, 'never', 'The request is larger than this agent accepts'],
  ARCHIVE_PATH: [422, 'never', 'The archive holds a path that must not be written'],
  ARCHIVE_COLLISION: [422, 'never', 'Two entries of the archive have the same path'],
  ARCHIVE_TYPE: [422, 'never', 'The archive holds something other than files and directories'],
  ARCHIVE_METADATA: [422, 'never', 'An entry of the archive carries metadata that is refused'],
  ARCHIVE_AMBIGUOUS: [422, 'never', 'The archive can be read in more than one way'],
  ARCHIVE_CORRUPT: [422, 'never', 'The archive is damaged or not an archive'],
  LIMIT_ENTRIES: [422, 'never', 'The archive holds too many entries'],
  LIMIT_RATIO: [422, 'never', 'The archive expands too far'],
  LIMIT_UNPACKED: [422, 'never', 'The archive unpacks to more than is accepted'],
  DIGEST_MISMATCH: [422, 'same', 'The bytes differ from what was declared'],
  MANIFEST_MISSING: [422, 'never', 'The plugin has no manifest'],
  MANIFEST_INVALID: [422, 'never', 'The manifest of the plugin is not valid'],
  MANIFEST_MISMATCH: [422, 'never', 'The manifest is not the one that was asked for'],
  PROBE_FAILED: [422, 'never', 'The probe command refused the plugin'],
  RUNTIME_UNSUPPORTED: [422, 'never', 'The plugin does not support the runtime of this workspace'],
  RUNTIME_EXTERNAL: [422, 'never', 'The workspace is external and pulls its plugins itself'],
  LOCKED: [423, 'later', 'Another process or operation works on the plugin'],
  RATE_LIMITED: [429, 'later', 'Too many requests'],
  CANCELLED: [499, 'same', 'The operation was cancelled'],
  SWAP_FAILED: [500, 'later', 'The new version could not be put in place'],
  ROLLBACK_FAILED: [500, 'never', 'The change failed, and undoing it failed as well'],
  MARKER_FAILED: [500, 'later', 'The tree could not be sealed'],
  READ_ONLY: [500, 'later', 'The file system is read-only'],
  INTERNAL: [500, 'later', 'Something went wrong inside the agent'],
  DRAINING: [503, 'later', 'The agent is shutting down'],
  UNREACHABLE: [503, 'later', 'The agent, or the server that it pulls from, could not be reached'],
  DEADLINE: [504, 'same', 'The operation took too long'],
  NO_SPACE: [507, 'later', 'There is no space left'],
} as const satisfies Record<string, readonly [number, Retry, string]>;

/** A closed list: `error.data.code` has no other value. */
export type FaultCode = keyof typeof CODES;

/** All codes, in the order of their HTTP status. */
export const faultCodes = Object.keys(CODES) as FaultCode[];

/** One breach of a rule by an archive: where, the number of the rule, and what is wrong. */
export const violationSchema = z.object({
  path: z.string(),
  rule: z.number().int(),
  code: z.string(),
  what: z.string(),
});
export type Violation = z.infer<typeof violationSchema>;

/** The data of an error on the wire. Unknown fields are ignored, as in every result. */
export const faultDataSchema = z.object({
  code: z.enum(faultCodes),
  status: z.number().int(),
  title: z.string(),
  detail: z.string(),
  hint: z.string().optional(),
  retry: z.enum(['never', 'same', 'later']),
  executed: z.enum(['no', 'maybe', 'yes']),
  /** In so many seconds another try makes sense. */
  retryAfter: z.number().int().nonnegative().optional(),
  violations: z.array(violationSchema).optional(),
  total: z.number().int().optional(),
});
export type FaultData = z.infer<typeof faultDataSchema>;

/** Texts of errors quote input of unknown origin. They are cut after so many characters. */
const TEXT_MAX = 2000;
const shorten = (text: string): string => (text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`);

type FaultOptions = {
  hint?: string | undefined;
  cause?: unknown;
  retry?: Retry | undefined;
  executed?: FaultData['executed'] | undefined;
  retryAfter?: number | undefined;
  violations?: readonly Violation[] | undefined;
  total?: number | undefined;
};

/**
 * The error that Airlock throws and sends.
 *
 * @example throw new Fault('NOT_FOUND', 'There is no plugin "lint" here', { hint: 'See "airlock list"' });
 */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly code: FaultCode;
  readonly hint: string | undefined;
  readonly retry: Retry;
  /** Whether the requested operation took effect. */
  readonly executed: FaultData['executed'];
  /** In so many seconds another try makes sense; undefined if nobody knows. */
  readonly retryAfter: number | undefined;
  readonly violations: readonly Violation[];
  readonly violationsTotal: number;

  constructor(code: FaultCode, detail: string, options: FaultOptions = {}) {
    super(shorten(detail), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint === undefined ? undefined : shorten(options.hint);
    this.retry = options.retry ?? CODES[code][1];
    this.executed = options.executed ?? 'no';
    this.retryAfter = options.retryAfter;
    this.violations = firstOf(options.violations ?? []);
    this.violationsTotal = options.total ?? options.violations?.length ?? 0;
  }

  get status(): number {
    return CODES[this.code][0];
  }

  get title(): string {
    return CODES[this.code][2];
  }

  /** The fault as it is sent; the inverse of {@link Fault.from}. The cause is not sent. */
  toData(): FaultData {
    return {
      code: this.code,
      status: this.status,
      title: this.title,
      detail: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      retry: this.retry,
      executed: this.executed,
      ...(this.retryAfter === undefined ? {} : { retryAfter: this.retryAfter }),
      ...(this.violationsTotal === 0
        ? {}
        : { violations: [...this.violations], total: this.violationsTotal }),
    };
  }

  /** A fault that the other side has sent. */
  static from(data: FaultData): Fault {
    return new Fault(data.code, data.detail, data);
  }
}

/** The same fault with another `executed`. */
export function withExecuted(fault: Fault, executed: FaultData['executed']): Fault {
  if (fault.executed === executed) return fault;
  const { code, message, hint, retry, retryAfter, violations, violationsTotal: total } = fault;
  const cause = fault.cause ?? fault;
  return new Fault(code, message, { hint, cause, retry, retryAfter, executed, violations, total });
}

/** Turns any thrown value into a fault. A fault stays as it is; anything else becomes INTERNAL with its cause. */
export function toFault(error: unknown, doing: string): Fault {
  if (error instanceof Fault) {
    return error;
  }
  const why = error instanceof Error ? error.message : String(error);
  return new Fault('INTERNAL', `${doing} failed: ${why}`, { cause: error, executed: 'maybe' });
}

/** The `code` of a failed system call; undefined for any other error. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return undefined;
}
