// So many agents that have dialled in to one platform process. They are doubles, which answer one method: what is measured
// is the platform's side. test/crash/fleet.test.ts does it with real agents.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { WebSocket } from 'ws';

import { median } from './measure.mjs';

const platformFile = fileURLToPath(new URL('platform.mjs', import.meta.url));
const MB = 1_000_000;
const LIMITS = {
  frameBytes: 262_144,
  windowBytes: 1_048_576,
  requestsInFlight: 64,
  streamsInFlight: 8,
  packedBytes: 104_857_600,
  unpackedBytes: 268_435_456,
  entries: 50_000,
};

/** What a double answers to each method. */
const ANSWERS = {
  'session.start': (bootId) => ({ at: { bootId, seq: 0 }, resumed: false }),
  'plugin.list': () => ({ plugins: { items: [], total: 0 } }),
};

/** Connects a double of an agent, and resolves when the platform has started its session. */
async function dial(port, number) {
  const bootId = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  const workspace = `w${number}`;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/agents`, 'airlock.v1', {
    headers: { 'airlock-workspace': workspace },
    perMessageDeflate: false,
  });
  const started = new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', (code, why) => reject(new Error(`The platform closed with ${code}: ${why}`)));
    socket.on('message', (text) => {
      const { id, method } = JSON.parse(text);
      if (id === undefined) return;
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, result: ANSWERS[method](bootId) }));
      if (method === 'session.start') resolve();
    });
  });
  await once(socket, 'open');
  const capabilities = ['gzip', 'resume'];
  const params = {
    agent: '0.1.0',
    runtime: null,
    workspace,
    bootId,
    protocol: 'airlock.v1',
    capabilities,
    limits: LIMITS,
  };
  socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'hello', params }));
  await started;
  return socket;
}

async function startPlatform() {
  const child = spawn(process.execPath, ['--expose-gc', platformFile], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  const { port } = await next();
  return {
    port,
    ask: (order) => {
      child.stdin.write(`${order}\n`);
      return next();
    },
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** For each count: the time of one call to all of them, and the memory of the platform. */
export async function measureConnections(counts, rounds, point) {
  const platform = await startPlatform();
  const sockets = [];
  try {
    for (const count of counts) {
      while (sockets.length < count) sockets.push(await dial(platform.port, sockets.length));
      const calls = [];
      for (let round = 0; round < rounds * 3; round += 1) calls.push((await platform.ask('call')).millis);
      const { rss } = await platform.ask('memory');
      point(count, { time: { 'call to all': median(calls) }, memory: { platform: rss / MB } });
    }
  } finally {
    for (const socket of sockets) socket.terminate();
    await platform.stop();
  }
}
