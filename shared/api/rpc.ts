/** The text frames of `airlock.v1`: JSON-RPC 2.0 with string ids, no batches. */
import * as z from 'zod';

import { Fault, faultDataSchema } from './fault.ts';

/** The WebSocket subprotocol. */
export const PROTOCOL = 'airlock.v1';
/** The path of the upgrade. */
export const CONNECT_PATH = '/v1/connect';
/** The path at which a platform accepts agents, unless it chooses another one. */
export const AGENTS_PATH = '/v1/agents';
/** The header in which an agent that dials out names its workspace. */
export const WORKSPACE_HEADER = 'airlock-workspace';
/** Answers 200 without a token and reports nothing. */
export const HEALTH_PATH = '/v1/health';

/** The `code` of all JSON-RPC errors but the next one. `error.data` says what went wrong. */
export const RPC_FAULT = -32_000;
export const RPC_METHOD_NOT_FOUND = -32_601;

/** Why a connection was closed. */
export const CLOSE = {
  draining: 1001,
  malformed: 1002,
  policy: 1008,
  tooLarge: 1009,
  tokenGone: 4401,
  /** The platform has a newer connection of the same workspace. */
  replaced: 4409,
  tooMany: 4429,
} as const;

/** Limits that `hello` states and both sides keep. */
export const WIRE = {
  frameBytes: 256 * 1024,
  windowBytes: 1024 * 1024,
  requestsInFlight: 64,
  streamsInFlight: 8,
  connections: 64,
  pingMillis: 15_000,
  deadMillis: 45_000,
  startMillis: 5000,
} as const;

const id = z.string().min(1).max(128);
const jsonrpc = z.literal('2.0');

/** JSON-RPC allows a request without `params`. */
const anything = z.unknown().optional();

export const requestSchema = z.strictObject({ jsonrpc, id, method: z.string().max(64), params: anything });
export const notificationSchema = z.strictObject({ jsonrpc, method: z.string().max(64), params: anything });
export const successSchema = z.object({ jsonrpc, id, result: z.unknown() });
export const failureSchema = z.object({
  jsonrpc,
  id: id.nullable(),
  error: z.object({ code: z.number(), message: z.string(), data: faultDataSchema.optional() }),
});

export type Message =
  | { kind: 'request'; id: string; method: string; params: unknown }
  | { kind: 'notification'; method: string; params: unknown }
  | { kind: 'success'; id: string; result: unknown }
  | { kind: 'failure'; id: string | null; fault: Fault };

export type MessageReading = { ok: true; message: Message } | { ok: false; why: string };

/** Reads a text frame of either side. A connection with a bad frame is closed with 1002. */
export function readMessage(text: string): MessageReading {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, why: 'a text frame is not JSON' };
  }
  const request = requestSchema.safeParse(json);
  if (request.success) {
    const { id: requestId, method, params } = request.data;
    return { ok: true, message: { kind: 'request', id: requestId, method, params } };
  }
  const notification = notificationSchema.safeParse(json);
  if (notification.success) {
    const { method, params } = notification.data;
    return { ok: true, message: { kind: 'notification', method, params } };
  }
  const failure = failureSchema.safeParse(json);
  if (failure.success) {
    const { id: requestId, error } = failure.data;
    const fault =
      error.data === undefined
        ? new Fault('INTERNAL', `The other side answered ${error.code}: ${error.message}`)
        : Fault.from(error.data);
    return { ok: true, message: { kind: 'failure', id: requestId, fault } };
  }
  const success = successSchema.safeParse(json);
  if (success.success && typeof json === 'object' && json !== null && 'result' in json) {
    return { ok: true, message: { kind: 'success', id: success.data.id, result: success.data.result } };
  }
  return { ok: false, why: 'a text frame is not a JSON-RPC 2.0 request, notification or answer' };
}

export const writeRequest = (requestId: string, method: string, params: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id: requestId, method, params });

export const writeNotification = (method: string, params: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', method, params });

export const writeSuccess = (requestId: string, result: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id: requestId, result });

export const writeFailure = (requestId: string, fault: Fault, code: number = RPC_FAULT): string =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: requestId,
    error: { code, message: fault.title, data: fault.toData() },
  });
