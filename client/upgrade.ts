/** The upgrade to a WebSocket, and the meaning of each refusal. */
import type { IncomingMessage } from 'node:http';
import { createConnection } from 'node:net';

import { WebSocket } from 'ws';

import { connectionError } from '../shared/api/connection-error.ts';
import { Fault, type FaultCode, faultDataSchema } from '../shared/api/fault.ts';
import { PROTOCOL, WIRE } from '../shared/api/rpc.ts';
import type { Target } from './target.ts';

/** Certificates for `wss:`. The agent's certificate is always verified. */
export type TlsOptions = {
  ca?: string | Buffer | undefined;
  cert?: string | Buffer | undefined;
  key?: string | Buffer | undefined;
  passphrase?: string | undefined;
  servername?: string | undefined;
};

const BODY_MAX_BYTES = 16 * 1024;

/**
 * Creates a socket that connects. The token is sent only in the `Authorization` header.
 *
 * @internal
 */
export function createSocket(target: Target, token: string | undefined, tls: TlsOptions): WebSocket {
  if (token !== undefined && !/^[\u0021-\u007e]+$/.test(token)) {
    throw new Fault('INVALID_PARAMS', 'The token holds characters that are not allowed in a token', {
      hint: 'Give the token alone, without white space around it',
    });
  }
  const given = Object.entries(tls).filter(([, value]) => value !== undefined);
  const { socketPath } = target;
  return new WebSocket(target.href, [PROTOCOL], {
    ...Object.fromEntries(given),
    ...(socketPath === undefined ? {} : { createConnection: () => createConnection(socketPath) }),
    followRedirects: false,
    perMessageDeflate: false,
    maxPayload: WIRE.frameBytes,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
}

/**
 * Waits until the socket is open.
 *
 * @throws Fault UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED or DRAINING as the agent refuses; UNREACHABLE with retry `later`
 *   if it is unknown whether there is an agent, with `never` if another program answers.
 * @internal
 */
export function upgraded(socket: WebSocket, { label }: Target): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('unexpected-response', (_request, response: IncomingMessage) => {
      void readBody(response).then((body) => {
        reject(refusal(label, response, body));
        response.destroy();
      });
    });
    socket.on('error', (error) => reject(socketFault(label, error)));
    socket.once('close', () => reject(unreachable(label, 'the connection was closed')));
  });
}

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

function socketFault(label: string, error: Error & { code?: unknown }): Fault {
  const { code, why, isCertificate } = connectionError(error);
  if (code.startsWith('HPE_') || /subprotocol|Sec-WebSocket|Upgrade header/.test(error.message)) {
    return noAgent(label, error.message, error);
  }
  const fault = unreachable(label, why, error);
  if (isCertificate) {
    const { message, cause } = fault;
    return new Fault('UNREACHABLE', message, {
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

function refusal(label: string, response: IncomingMessage, body: string): Fault {
  const status = response.statusCode ?? 0;
  const said = faultIn(body);
  const wait = response.headers['retry-after'];
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

async function readBody(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      parts.push(part);
      bytes += part.length;
      if (bytes > BODY_MAX_BYTES) break;
    }
  } catch {
    // The body is not needed.
  }
  return Buffer.concat(parts).toString('utf8');
}
