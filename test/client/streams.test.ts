import { describe, expect, it } from 'vitest';
import { listPlugins, verifyPlugins } from '../../client/list.ts';
import type { Session } from '../../client/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import { WIRE } from '../../shared/api/rpc.ts';
import { until } from '../_kit/until.ts';
import { type Behaviour, type Peer } from './fake-agent.ts';
import { agent, fault, plugin, session, start, endsConversations } from './conversation.ts';

endsConversations();

describe('streams from the agent', () => {
  /** Sends `bytes` on stream 9 within the credit that the client gives. */
  function sender(
    bytes: Buffer,
    spoil: (offset: number) => number = (offset) => offset,
  ): Behaviour & { most: number } {
    let sent = 0;
    const self = {
      most: 0,
      onNotification: ({ params }: { params: unknown }, to: Peer) => {
        const { offset, limit } = params as { offset: number; limit: number };
        self.most = Math.max(self.most, limit - offset);
        while (sent < Math.min(limit, bytes.length)) {
          const data = bytes.subarray(sent, Math.min(sent + 65_536, limit));
          const from = sent;
          sent += data.length;
          to.frame({ stream: 9, offset: spoil(from), fin: sent === bytes.length, data });
        }
      },
    };
    return self;
  }

  it('arrive whole, in order, under a credit of one window', async () => {
    const bytes = Buffer.alloc(5_000_000, 'airlock');
    const from = sender(bytes);
    await start(from);
    const parts: Uint8Array[] = [];
    for await (const part of session.receive(9)) {
      parts.push(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    expect(from.most).toBe(WIRE.windowBytes);
    expect(agent.violations).toEqual([]);
  });

  // Was a bug: the reader waited for ever.
  it.each([
    ['is reset at once', 9, 3],
    ['is older than one that is read already', 3, 9],
  ])('fail when the agent has given them up before they are read: one that %s', async (_, reset, newer) => {
    await start({
      onRequest: ({ id }, to) => {
        to.notify('window', { stream: newer, offset: 0, limit: 1 });
        to.notify('reset', { stream: reset, error: new Fault('DEADLINE', 'No credit came').toData() });
        to.answer(id, plugin('x'));
      },
    });
    await session.call('plugin.get', { plugin: 'x' });
    const read = async (): Promise<void> => {
      for await (const part of session.receive(reset)) throw new Error(`${part.length} bytes came`);
    };
    await expect(read()).rejects.toMatchObject({ code: 'DEADLINE' });
  });

  it('fail on a gap', async () => {
    await start(sender(Buffer.alloc(200_000), (offset) => (offset === 0 ? 0 : offset + 1)));
    await expect(drain(session)).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('fail when the agent sends beyond its credit', async () => {
    await start({
      onNotification: (_, to) => {
        for (let i = 0; i < 17; i += 1) {
          to.frame({ stream: 9, offset: i * 65_536, fin: false, data: Buffer.alloc(65_536) });
        }
      },
    });
    const reading = session.receive(9)[Symbol.asyncIterator]();
    await reading.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const rest = (async () => {
      while ((await reading.next()).done !== true);
    })();
    await expect(rest).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('fail when the connection breaks in between', async () => {
    await start({
      onNotification: (_, to) => {
        to.frame({ stream: 9, offset: 0, fin: false, data: Buffer.alloc(10) });
        to.socket.close();
      },
    });
    await expect(drain(session)).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('are cancelled when their reader stops early, and not when it has read to the end', async () => {
    const cancelled: unknown[] = [];
    const from = sender(Buffer.alloc(200_000));
    await start({
      onNotification: (message, to) => {
        if (message.method === 'cancel') cancelled.push(message.params);
        else from.onNotification?.(message, to);
      },
    });
    for await (const part of session.receive(9)) {
      expect(part.length).toBeGreaterThan(0);
      break;
    }
    await until(() => expect(cancelled).toEqual([{ stream: 9 }]));
    await start(sender(Buffer.alloc(10)));
    expect(await drain(session)).toBe(10);
    expect(agent.violations).toEqual([]);
  });

  it('fail with what the agent says when it ends them', async () => {
    await start({
      onNotification: (_, to) =>
        to.notify('reset', { stream: 9, error: new Fault('DEADLINE', 'Nothing was asked for').toData() }),
    });
    await expect(drain(session)).rejects.toMatchObject({ code: 'DEADLINE' });
  });

  it('carry a list that is longer than an answer', async () => {
    const all = Array.from({ length: 250 }, (_, i) => plugin(`plügin-${i}`));
    const from = sender(Buffer.from(`${all.map((one) => JSON.stringify(one)).join('\n')}\n`));
    await start({
      ...from,
      onRequest: ({ id, params }, to) => {
        expect(params).toEqual({ all: true });
        to.answer(id, { plugins: { items: all.slice(0, 100), total: 250 }, stream: 9 });
      },
    });
    expect(await listPlugins(session)).toEqual(all);
  });

  it('are refused as a list where they hold something else', async () => {
    await start({
      ...sender(Buffer.from('{"name":1}\n')),
      onRequest: ({ id }, to) => to.answer(id, { plugins: { items: [], total: 250 }, stream: 9 }),
    });
    expect((await fault(listPlugins(session))).code).toBe('INTERNAL');
  });
});

it('verifies the named plugins, or all that there are', async () => {
  await start({
    onRequest: ({ id, method, params }, to) => {
      if (method === 'plugin.list') {
        return to.answer(id, { plugins: { items: ['a', 'b'].map(plugin), total: 2 } });
      }
      const none = { items: [], total: 0 };
      const result = {
        plugin: params['plugin'],
        verdict: 'intact',
        modified: none,
        missing: none,
        unlisted: none,
      };
      return to.answer(id, result);
    },
  });
  expect((await verifyPlugins(session, 'all')).map((one) => one.plugin)).toEqual(['a', 'b']);
  expect((await verifyPlugins(session, ['b'])).map((one) => one.plugin)).toEqual(['b']);
});

async function drain(from: Session): Promise<number> {
  let bytes = 0;
  for await (const part of from.receive(9)) bytes += part.length;
  return bytes;
}
