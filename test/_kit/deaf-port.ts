/** Where nobody listens, and nobody else begins to: the system gives the port of a server that was closed to the next one. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';

import { onTestFinished } from 'vitest';

/** A port of the loopback that refuses connections until the test ends: the near end of one that is open. */
export async function deafPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  await once(socket, 'connect');
  return socket.localPort ?? 0;
}
