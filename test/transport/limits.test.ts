/** Whoever breaks a limit is stopped, and everybody else is served meanwhile. Real sockets, on the loopback. */
import { once } from 'node:events';

import { describe, expect, it } from 'vitest';

import type { Timeouts } from '../../agent/service/upload.ts';
import type { Event } from '../../shared/api/events.ts';
import { CLOSE, WIRE } from '../../shared/api/rpc.ts';
import { type TestAgent, startTestAgent } from '../_kit/agent.ts';
import { type Opened, beginOf, packPlugin, push } from '../_kit/bundle.ts';
import { Fortress } from '../_kit/fortress.ts';
import { RawWire, frameOf, rawSocket, textFrame } from '../_kit/raw-socket.ts';
import { Wire } from '../_kit/wire.ts';

const MIB = 1024 * 1024;

/** An agent with a client who does nothing wrong. */
async function withOther(
  timeouts: Partial<Timeouts> = {},
  own?: TestAgent,
): Promise<{ agent: TestAgent; served(): Promise<void> }> {
  const agent = own ?? (await startTestAgent({ timeouts }));
  const other = await Wire.start(agent);
  return {
    agent,
    served: async () => expect(await other.request('plugin.list')).toMatchObject({ plugins: {} }),
  };
}

/** Opens an upload of a bundle of that size, which will never come. */
const open = (wire: Wire, plugin: string, size = 4 * MIB): Promise<Opened & { status: string }> =>
  wire.request('install.begin', beginOf(plugin, { size, sha256: 'a'.repeat(64), bytes: Buffer.alloc(0) }));

const operationOf = ({ data }: Event): string => (data as { operationId: string }).operationId;

describe('a frame', () => {
  // One agent for all of them: whoever breaks the rule is stopped, and nobody else.
  const fortress = Fortress.forAll();

  const half = Buffer.alloc(WIRE.frameBytes / 2 + 1, 'x');
  it.each([
    [
      'is larger than a frame may be',
      CLOSE.tooLarge,
      [frameOf(Buffer.alloc(WIRE.frameBytes + 1), { opcode: 2 })],
    ],
    [
      'only says that it is',
      CLOSE.tooLarge,
      [frameOf(Buffer.alloc(WIRE.frameBytes + 1), { opcode: 1 }).subarray(0, 20)],
    ],
    [
      'is so in fragments',
      CLOSE.tooLarge,
      [frameOf(half, { opcode: 2, fin: false }), frameOf(half, { opcode: 0 })],
    ],
    ['is compressed', CLOSE.malformed, [frameOf(Buffer.from('x'), { opcode: 1, rsv: 4 })]],
    ['has bits that mean nothing', CLOSE.malformed, [frameOf(Buffer.from('x'), { opcode: 1, rsv: 1 })]],
    ['is not masked', CLOSE.malformed, [frameOf(Buffer.from('{}'), { opcode: 1, masked: false })]],
    ['is of an unknown kind', CLOSE.malformed, [frameOf(Buffer.from('x'), { opcode: 3 })]],
    ['goes on with nothing', CLOSE.malformed, [frameOf(Buffer.from('x'), { opcode: 0 })]],
    ['is a ping that is too long', CLOSE.malformed, [frameOf(Buffer.alloc(126), { opcode: 9 })]],
    ['is a ping in fragments', CLOSE.malformed, [frameOf(Buffer.alloc(1), { opcode: 9, fin: false })]],
  ])('that %s closes with %d', async (_, code, frames) => {
    const { agent, served } = await withOther({}, fortress.agent);
    const wire = await RawWire.start(agent);
    wire.socket.write(Buffer.concat(frames));
    await served();
    expect(await wire.closed()).toBe(code);
  });

  it('in fragments counts as one, with a ping between them', async () => {
    const { agent, served } = await withOther({}, fortress.agent);
    const wire = await RawWire.start(agent);
    const text = Buffer.from('{"jsonrpc":"2.0","id":"in-parts","method":"plugin.list"}');
    for (const [i, byte] of text.entries()) {
      wire.socket.write(
        frameOf(Buffer.from([byte]), { opcode: i === 0 ? 1 : 0, fin: i === text.length - 1 }),
      );
      wire.socket.write(frameOf(Buffer.from('p'), { opcode: 9 }));
    }
    await wire.until('"id":"in-parts"');
    await served();
  });
});

describe('too many', () => {
  it('requests are refused from the 65th on, and the 64 are answered', async () => {
    const { agent, served } = await withOther();
    const wire = await Wire.start(agent);
    // No thread answers in the tick in which all of them come: they are in one packet.
    const ids = Array.from({ length: 65 }, (_, i) => `many-${i}`);
    const raw = await RawWire.start(agent);
    const asks = ids.map((id) => textFrame(`{"jsonrpc":"2.0","id":"${id}","method":"plugin.list"}`));
    raw.socket.write(Buffer.concat(asks));
    await raw.until('RATE_LIMITED');
    await served();
    await raw.until('"id":"many-63"');
    expect(await wire.request('plugin.list')).toMatchObject({ plugins: {} });
  });

  it('streams are refused from the ninth on, at once, although no thread is free', async () => {
    // None of them is given up meanwhile, however busy the machine is.
    const { agent, served } = await withOther({ stall: 600_000 });
    const wire = await Wire.start(agent);
    for (let i = 0; i < WIRE.streamsInFlight; i += 1) {
      await open(wire, `plugin-${i}`);
    }
    const ninth = beginOf('ninth', { size: 10, sha256: 'b'.repeat(64), bytes: Buffer.alloc(0) });
    expect((await wire.refusal('install.begin', ninth)).data.code).toBe('RATE_LIMITED');
    const first = await wire.event('install.progress');
    await wire.request('install.abort', { operationId: operationOf(first) });
    expect(await wire.request('install.begin', ninth)).toMatchObject({ status: 'open' });
    await served();
  });
});

describe('a connection that is slow', () => {
  it('with its request is hung up on after ten seconds, byte by byte or not at all', async () => {
    const { agent, served } = await withOther();
    const [silent, drip] = [await rawSocket(agent), await rawSocket(agent)];
    const gone = [silent, drip].map((socket) => once(socket.resume(), 'end'));
    drip.write('GET /v1/connect HTTP/1.1\r\n');
    const dripping = setInterval(() => drip.write('x: y\r\n'), 500);
    await served();
    await Promise.all(gone);
    clearInterval(dripping);
    await served();
  });
});

describe('an upload', () => {
  it('that stalls is given up, with the reason', async () => {
    const { agent, served } = await withOther({ stall: 200 });
    const wire = await Wire.start(agent);
    const { stream } = await open(wire, 'lint');
    wire.frame(stream, 0, Buffer.alloc(10, 1));
    await served();
    expect(await wire.notification('reset')).toMatchObject({ stream, error: { code: 'DEADLINE' } });
    await served();
  });

  it('that sends beyond its credit fails alone: the connection goes on', async () => {
    const { agent, served } = await withOther();
    const wire = await Wire.start(agent);
    const [greedy, modest] = [await open(wire, 'greedy'), await open(wire, 'modest')];
    // All that it may and then more, without a look at the windows.
    for (let offset = 0; offset < 4 * MIB; offset += 65_536) {
      wire.frame(greedy.stream, offset, Buffer.alloc(65_536));
    }
    expect(await wire.notification('reset')).toMatchObject({
      stream: greedy.stream,
      error: { executed: 'no' },
    });
    await served();
    wire.frame(modest.stream, 0, Buffer.alloc(65_536));
    await wire.until(() => wire.notifications('window').some((w) => (w as Opened).stream === modest.stream));
  });

  it('in frames of one byte is gathered: few messages to the thread, few windows back', async () => {
    const { agent, served } = await withOther();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('lint', '1.0.0', 40_000);
    const params = beginOf('lint', bundle);
    const { stream } = await wire.request<Opened>('install.begin', params);
    for (let i = 0; i < bundle.size; i += 1) {
      wire.frame(stream, i, bundle.bytes.subarray(i, i + 1), i === bundle.size - 1);
    }
    await served();
    await wire.until(() => wire.notifications('window').some((w) => (w as Opened).offset === bundle.size));
    expect(await wire.request('install.commit', { operationId: params.operationId })).toMatchObject({
      status: 'installed',
    });
    expect(wire.notifications('window').length).toBeLessThan(bundle.size / 4);
  });

  it('that does not go on keeps no ninth from being installed, whoever holds the threads', async () => {
    const { agent, served } = await withOther();
    const [still, gone, dripping] = [
      await Wire.start(agent),
      await Wire.start(agent),
      await Wire.start(agent),
    ];
    for (let i = 0; i < 3; i += 1) {
      await open(still, `still-${i}`);
      await open(gone, `gone-${i}`);
    }
    await gone.vanish();
    const drips = [await open(dripping, 'drip-0'), await open(dripping, 'drip-1')];
    let offset = 0;
    const drip = setInterval(() => {
      if (dripping.socket.readyState !== dripping.socket.OPEN) return;
      for (const { stream } of drips) {
        dripping.frame(stream, offset, Buffer.alloc(1, 1));
      }
      offset += 1;
    }, 100);
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('ninth', '1.0.0');
    await served();
    const answer = await push(wire, beginOf('ninth', bundle), bundle);
    clearInterval(drip);
    expect(answer).toMatchObject({ status: 'installed' });
    await served();
  });
});

describe('a client that never reads', () => {
  it('is cut off when it asks for pongs without end', async () => {
    const { agent, served } = await withOther();
    const wire = await RawWire.start(agent);
    wire.socket.pause();
    const pings = Buffer.concat(
      Array.from({ length: 2000 }, () => frameOf(Buffer.alloc(125), { opcode: 9 })),
    );
    const before = process.memoryUsage().arrayBuffers;
    const gone = new Promise((resolve) => void wire.socket.once('error', resolve).once('close', resolve));
    for (let i = 0; i < 400 && wire.socket.writable; i += 1) {
      wire.socket.write(pings);
      await served();
    }
    await gone;
    await served();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(128 * MIB);
  });

  it('a list that it has given credit for beyond all measure costs no more than the list', async () => {
    const { agent, served } = await withOther();
    const wire = await Wire.start(agent);
    const { stream } = await open(wire, 'lint');
    for (let i = 0; i < 1000; i += 1) {
      wire.window(stream, 0, Number.MAX_SAFE_INTEGER);
      wire.window(4_000_000, 0, 1);
    }
    await served();
    expect(await wire.request('plugin.list', { all: true })).toMatchObject({ plugins: { total: 0 } });
  });
});
