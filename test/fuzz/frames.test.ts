/** Frames of a client, altered: a session closes, refuses or answers, and an agent goes on serving others. */
import { it } from 'vitest';

import { decodeFrame, encodeFrame } from '../../shared/api/frame.ts';
import { readMessage } from '../../shared/api/rpc.ts';
import { pick } from '../_kit/chance.ts';
import { FakeInflow, Talk, makeServed } from '../_kit/talk.ts';
import { settle } from '../_kit/engines.ts';
import { alter, fuzz } from '../_kit/fuzz.ts';

const OPERATION = { operationId: 'operation-1' };
const MESSAGES = [
  { jsonrpc: '2.0', id: '1', method: 'session.start', params: { client: 'x', events: 'all' } },
  {
    jsonrpc: '2.0',
    id: '2',
    method: 'install.begin',
    params: { ...OPERATION, plugin: 'lint', bundle: { size: 9, sha256: 'a'.repeat(64) } },
  },
  { jsonrpc: '2.0', id: '3', method: 'install.commit', params: OPERATION },
  { jsonrpc: '2.0', id: '4', method: 'plugin.list', params: { all: true } },
  { jsonrpc: '2.0', method: 'window', params: { stream: 1, offset: 0, limit: 9 } },
  { jsonrpc: '2.0', id: '5', method: 'status' },
].map((message) => Buffer.from(JSON.stringify(message)));
const FRAMES = [
  encodeFrame({ stream: 1, offset: 0, fin: false, data: new Uint8Array(20) }),
  encodeFrame({ stream: 1, offset: 20, fin: true, data: new Uint8Array(0) }),
];

it('frames', (ctx) =>
  fuzz(ctx, 'frames', async (chance) => {
    const served = makeServed({
      begin: (_params, _by, link) =>
        Promise.resolve({ status: 'open', offset: 0, limit: 9, stream: link(new FakeInflow()).stream }),
    });
    const talk = chance() < 0.5 ? new Talk(served) : await Talk.start(served);
    for (let i = 0; i <= pick(chance, 6); i += 1) {
      if (chance() < 0.6) {
        const message = MESSAGES[pick(chance, MESSAGES.length)] ?? Buffer.alloc(0);
        const text = (chance() < 0.5 ? alter(message, chance) : message).toString('utf8');
        readMessage(text);
        talk.session.text(text);
      } else {
        const frame = FRAMES[pick(chance, FRAMES.length)] ?? Buffer.alloc(0);
        const bytes = chance() < 0.7 ? alter(frame, chance) : frame;
        decodeFrame(bytes);
        talk.session.binary(bytes);
      }
    }
    await settle();
    talk.session.ended();
    await settle();
  }));
