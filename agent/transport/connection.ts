/** One WebSocket with its session: keeps it alive, and ends it. */
import type { RawData, WebSocket } from 'ws';

import { CLOSE, WIRE } from '../../shared/api/rpc.ts';
import { type Clock, steadyClock } from '../../shared/clock.ts';
import type { Log } from '../log.ts';
import type { Traffic } from '../metrics/facts.ts';
import type { Caller, Known } from './auth.ts';
import type { Session, Socket } from './session.ts';

export type OpenSession = (socket: Socket, caller: Caller, log: Log) => Session;

/** The part of a connection that the server uses. */
export type Connection = {
  /**
   * Checks whether the token is still valid. A file that is being written may lack a token for a moment, so the token
   * must be missing twice in a row.
   */
  review(): void;
};

/** Serves a connection until it ends. */
export function serve(
  ws: WebSocket,
  known: Known,
  open: OpenSession,
  log: Log,
  traffic: Traffic,
  clock: Clock = steadyClock,
): Connection {
  traffic.open += 1;
  traffic.opened += 1;
  const socket: Socket = {
    sendText: (text) => {
      traffic.sentBytes += Buffer.byteLength(text);
      ws.send(text);
    },
    sendBinary: (frame, flushed) => {
      traffic.sentBytes += frame.length;
      ws.send(frame, { binary: true }, () => flushed?.());
    },
    close: (code, reason) => ws.close(code, reason.slice(0, 120)),
    get buffered() {
      return ws.bufferedAmount;
    },
  };
  const session = open(socket, known.caller, log);
  let heard = clock.now();
  // A proxy in between sees bytes in both directions that often, however long an operation takes.
  const beat = (): void => {
    if (clock.now() - heard >= WIRE.deadMillis) {
      ws.terminate();
    } else {
      ws.ping();
      stopBeat = clock.after(WIRE.pingMillis, beat);
    }
  };
  let stopBeat = clock.after(WIRE.pingMillis, beat);
  const stopStart = clock.after(WIRE.startMillis, () => {
    if (!session.started) {
      ws.close(CLOSE.policy, 'no session.start');
    }
  });
  const alive = (): void => {
    heard = clock.now();
  };
  ws.on('pong', alive);
  ws.on('ping', alive);
  ws.on('message', (data: RawData, isBinary) => {
    alive();
    if (ws.readyState !== ws.OPEN) {
      // The connection is being closed. Further messages are ignored.
      return;
    }
    const bytes = bufferOf(data);
    traffic.receivedBytes += bytes.length;
    if (isBinary) {
      session.binary(bytes);
    } else {
      session.text(bytes.toString('utf8'));
    }
  });
  // ws closes with the right code by itself: 1009 for a frame that is too large, 1002 or 1007 for a malformed one.
  ws.on('error', (error) => log.info({ err: error }, 'connection failed'));
  ws.on('close', (code) => {
    traffic.open -= 1;
    stopBeat();
    stopStart();
    session.ended();
    log.info({ code }, 'connection closed');
  });
  let missed = false;
  return {
    review: () => {
      const valid = known.isValid();
      if (!valid && missed && ws.readyState === ws.OPEN) {
        log.info('the token is no longer valid');
        ws.close(CLOSE.tokenGone, 'the token is no longer valid');
      }
      missed = !valid;
    },
  };
}

function bufferOf(data: RawData): Buffer {
  if (Array.isArray(data)) {
    return Buffer.concat(data);
  }
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
