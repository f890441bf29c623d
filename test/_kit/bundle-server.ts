/** A server on the loopback that answers as the test says, and keeps what it was asked. */
import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';

import { onTestFinished } from 'vitest';

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

export type BundleServer = {
  origin: string;
  /** The heads of the requests, the oldest first. */
  requests: { path: string; headers: http.IncomingHttpHeaders }[];
  /** Answers from now on. */
  answer: (handler: Handler) => void;
};

/** @param tls a certificate and its key, in PEM; without them it speaks http. */
export async function serveBundles(
  handler: Handler,
  tls?: { cert: Buffer; key: Buffer },
): Promise<BundleServer> {
  let now = handler;
  const requests: BundleServer['requests'] = [];
  const hear: Handler = (request, response) => {
    requests.push({ path: request.url ?? '', headers: { ...request.headers } });
    now(request, response);
  };
  const server = tls === undefined ? http.createServer(hear) : https.createServer(tls, hear);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    answer: (next) => {
      now = next;
    },
  };
}

/** Answers with the bytes, or with the range of them that is asked for. */
export const bytesOf =
  (bytes: Buffer, headers: http.OutgoingHttpHeaders = {}): Handler =>
  (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
    const more = from === 0 ? {} : { 'content-range': range };
    response.writeHead(from === 0 ? 200 : 206, {
      ...headers,
      ...more,
      'content-length': bytes.length - from,
    });
    response.end(bytes.subarray(from));
  };

/** Promises all of the bytes, sends so many, and breaks the connection. */
export const cutAfter =
  (bytes: Buffer, count: number, headers: http.OutgoingHttpHeaders = {}): Handler =>
  (_request, response) => {
    response.writeHead(200, { ...headers, 'content-length': bytes.length });
    response.write(bytes.subarray(0, count), () => setImmediate(() => response.destroy()));
  };

/** Redirects to that address. */
export const redirectTo =
  (location: string, status = 302): Handler =>
  (_request, response) => {
    response.writeHead(status, { location }).end();
  };
