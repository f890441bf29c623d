/** The upgrade to a WebSocket. */
import type { IncomingMessage } from 'node:http';
import { createConnection } from 'node:net';

import { WebSocket } from 'ws';

import { Fault } from '../shared/api/fault.ts';
import { PROTOCOL, WIRE } from '../shared/api/rpc.ts';
import { isUnmasked, noMask } from '../shared/mask.ts';
import { refusal, socketFault, unreachable } from './reach.ts';
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
    // Whatever the environment of the process says.
    rejectUnauthorized: true,
    followRedirects: false,
    perMessageDeflate: false,
    maxPayload: WIRE.frameBytes,
    ...(isUnmasked(target.href) ? { generateMask: noMask } : {}),
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
        const { statusCode = 0, headers } = response;
        reject(refusal(label, statusCode, headers['retry-after'], body));
        response.destroy();
      });
    });
    socket.on('error', (error) => reject(socketFault(label, error)));
    socket.once('close', () => reject(unreachable(label, 'the connection was closed')));
  });
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
