/** The masks of WebSocket frames from a client (RFC 6455, section 5.3). */
import { isLoopback } from './loopback.ts';

/**
 * Fills in the mask of a frame: four zeros, which change no byte, so that neither side spends time on it. A mask keeps
 * proxies from taking bytes of a frame for a request of HTTP. Bytes over TLS, a Unix socket or the loopback pass no such
 * proxy.
 */
export const noMask = (mask: Buffer): void => void mask.fill(0);

/** Whether frames to this URL need no mask. */
export function isUnmasked(href: string): boolean {
  const { protocol, hostname } = new URL(href);
  return protocol === 'wss:' || isLoopback(hostname);
}
