/** Binds an address: a port, or a Unix socket that is at no moment open to other users. */
import {
  type Stats,
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
} from 'node:fs';
import { type Server, connect } from 'node:net';
import { dirname, join } from 'node:path';

import { Fault } from '../../shared/api/fault.ts';
import { attempt } from '../../shared/attempt.ts';
import { isLoopback } from '../../shared/loopback.ts';
import type { Place } from './upgrade-policy.ts';

/** A host and a port (0: the system chooses one), or the path of a Unix socket. */
export type Address = { host: string; port: number } | { path: string };

/** A bound address. */
export type Bound = {
  place: Place;
  host: string;
  port: number;
  /** Removes the file of a Unix socket. */
  release(): void;
};

/** @throws the error of the system, such as EADDRINUSE; Fault CONFLICT if a Unix socket is in use. */
export async function bind(server: Server, address: Address): Promise<Bound> {
  return 'path' in address ? bindPath(server, address.path) : bindPort(server, address);
}

async function bindPort(server: Server, { host, port }: { host: string; port: number }): Promise<Bound> {
  await listening(server, () => server.listen(port, host));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') {
    throw new Fault('INTERNAL', 'The server has no address');
  }
  return {
    place: isLoopback(bound.address) ? 'loopback' : 'network',
    host: bound.address,
    port: bound.port,
    release: () => undefined,
  };
}

const TEMPORARY = /^\.al-[A-Za-z0-9]{6}$/;
/** The directory is used for an instant. An older one (milliseconds) was left by an agent that was killed. */
const TEMPORARY_MILLIS = 60_000;

/**
 * Removes the directories that agents of this user have left beside their sockets. A directory of that name with other
 * content stays.
 */
function removeLeftovers(directory: string): void {
  for (const name of attempt(() => readdirSync(directory)) ?? []) {
    attempt(() => {
      const temporary = join(directory, name);
      const stats = TEMPORARY.test(name) ? look(temporary) : undefined;
      if (stats?.isDirectory() !== true || stats.uid !== process.getuid?.()) {
        return;
      }
      if (Date.now() - stats.mtimeMs <= TEMPORARY_MILLIS) {
        return;
      }
      if (look(join(temporary, 's'))?.isSocket() === true) {
        rmSync(join(temporary, 's'));
      }
      rmdirSync(temporary);
    });
  }
}

/**
 * The socket is created in a directory that only the agent may enter, gets its mode there, and is then renamed to its
 * place.
 */
async function bindPath(server: Server, path: string): Promise<Bound> {
  await refuseTaken(path);
  removeLeftovers(dirname(path));
  const temporary = mkdtempSync(join(dirname(path), '.al-'));
  try {
    const made = join(temporary, 's');
    await listening(server, () => server.listen(made));
    chmodSync(made, 0o600);
    renameSync(made, path);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  const own = lstatSync(path);
  return {
    place: 'unix',
    host: path,
    port: 0,
    release: () => {
      const found = look(path);
      if (found?.ino === own.ino && found.dev === own.dev) {
        rmSync(path, { force: true });
      }
    },
  };
}

/** The socket of a dead agent is replaced. A socket on which a process listens stays, and so does any other file. */
async function refuseTaken(path: string): Promise<void> {
  const found = look(path);
  if (found === undefined) {
    return;
  }
  const why = found.isSocket() ? await answerOf(path) : 'it is not a socket';
  if (why !== 'ECONNREFUSED') {
    throw new Fault('CONFLICT', `"${path}" is taken: ${why}`, {
      hint: 'End the agent that listens there, or name another path in AIRLOCK_LISTEN',
    });
  }
}

function look(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

const answerOf = (path: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('a process listens there');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });

async function listening(server: Server, listen: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}
