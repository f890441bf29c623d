import { expect, it } from 'vitest';

import { IncomingStream } from '../../client/incoming.ts';
import { WIRE } from '../../shared/api/rpc.ts';

const CHUNK = 65_536;

it('fails on the first byte beyond its credit, though it comes in order', async () => {
  const incoming = new IncomingStream(9, () => {});
  const reading = incoming.read();
  const first = reading.next();
  for (let offset = 0; offset < WIRE.windowBytes; offset += CHUNK) {
    incoming.take({ stream: 9, offset, fin: false, data: Buffer.alloc(CHUNK) });
  }
  expect((await first).value).toHaveLength(CHUNK);
  incoming.take({ stream: 9, offset: WIRE.windowBytes, fin: false, data: Buffer.alloc(1) });
  const rest = async (): Promise<void> => {
    while ((await reading.next()).done !== true);
  };
  await expect(rest()).rejects.toMatchObject({
    code: 'INTERNAL',
    message: expect.stringContaining('beyond its credit'),
  });
});
