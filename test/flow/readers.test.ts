/** What a reader sees while versions follow each other, and what is left when the agent has ended. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { build } from 'esbuild';
import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin, push } from '../_kit/bundle.ts';
import { Wire } from '../_kit/wire.ts';

/** Thousands, with readers in processes of their own: test/crash/readers.test.ts. */
const UPDATES = 20;

describe('a reader during twenty updates', () => {
  it('is let through to one whole version every time, and none is older than one before', async () => {
    // What is seen does not depend on syncs, and without them the reader has less to wait for.
    const agent = await startTestAgent({ env: { AIRLOCK_DURABILITY: 'none' } });
    const wire = await Wire.start(agent);
    const bundles = await Promise.all(
      Array.from({ length: UPDATES }, (_, i) => packPlugin('lint', `1.0.${i}`)),
    );
    const [first] = bundles;
    if (first === undefined) {
      throw new Error('There is no bundle');
    }
    await push(wire, beginOf('lint', first), first);

    const state = { running: true };
    const seen: number[] = [];
    const wrong: unknown[] = [];
    const read = async (): Promise<void> => {
      const loader = createLoader({ roots: [agent.layout.root] });
      while (state.running) {
        const answer = await loader.gate('lint');
        const version = answer.admitted ? answer.plugin.manifest?.version : undefined;
        const last = seen.at(-1) ?? 0;
        const now = Number(version?.split('.')[2]);
        if (!answer.admitted || !(now >= last)) {
          wrong.push(answer);
        } else {
          seen.push(now);
        }
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    };
    const readers = read();
    for (const bundle of bundles.slice(1)) {
      await push(wire, beginOf('lint', bundle), bundle);
    }
    state.running = false;
    await readers;
    expect(wrong).toEqual([]);
    expect(seen.length).toBeGreaterThan(UPDATES);
    expect(new Set(seen).size).toBeGreaterThan(UPDATES / 4);
    expect(await wire.request('plugin.get', { plugin: 'lint' })).toMatchObject({
      version: `1.0.${UPDATES - 1}`,
    });
  });
});

describe('the event loop of the agent', () => {
  it('goes on while a large plugin comes in (its longest pause is printed, not judged)', async () => {
    const agent = await startTestAgent();
    const wire = await Wire.start(agent);
    const bundle = await packPlugin('large', '1.0.0', 6_000_000);
    let longest = 0;
    let last = performance.now();
    const beat = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    expect(await push(wire, beginOf('large', bundle), bundle)).toMatchObject({ status: 'installed' });
    clearInterval(beat);
    process.stdout.write(`longest pause of client and agent together: ${longest.toFixed(1)} ms\n`);
  });
});

/** An agent that is used and closed; whatever it leaves running keeps its process from ending. */
const PROGRAM = `
import { startAgent } from '${fileURLToPath(new URL('../../agent/agent.ts', import.meta.url))}';
import { readAgentConfig } from '${fileURLToPath(new URL('../../agent/config.ts', import.meta.url))}';
import { createLog } from '${fileURLToPath(new URL('../../agent/log.ts', import.meta.url))}';
import { WebSocket } from 'ws';
const [root, worker] = process.argv.slice(2);
const env = { AIRLOCK_ROOT: root, AIRLOCK_LISTEN: '127.0.0.1:0', AIRLOCK_TOKEN: '${TOKEN}' };
const agent = await startAgent(readAgentConfig({}, env), new URL(worker), '0', createLog('silent'));
const socket = new WebSocket('ws://127.0.0.1:' + agent.port + '/v1/connect', ['airlock.v1'],
  { headers: { authorization: 'Bearer ${TOKEN}' } });
const ask = (id, method, params) => socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
const answers = [];
await new Promise((resolve) => {
  socket.on('open', () => {
    ask('1', 'session.start', { client: 'x', events: 'all' });
    ask('2', 'install.begin', { operationId: 'operation-1', plugin: 'lint',
      bundle: { size: 1000, sha256: '${'a'.repeat(64)}' } });
    ask('3', 'plugin.list', {});
  });
  socket.on('message', (data) => {
    const { id, result } = JSON.parse(data);
    if (id !== undefined && result !== undefined) answers.push(id);
    if (answers.length === 3) resolve();
  });
});
await agent.close();
console.log('closed', process.getActiveResourcesInfo().filter((name) => /Timeout|TCP|Worker|MessagePort/.test(name)));
`;

describe('an agent that was closed', () => {
  it('leaves nothing behind that keeps its process alive', async () => {
    const directory = await scratch();
    const [source, program] = [join(directory, 'program.ts'), join(directory, 'program.mjs')];
    await writeFile(source, PROGRAM);
    await build({
      entryPoints: [source],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      nodePaths: [fileURLToPath(new URL('../../node_modules', import.meta.url))],
      banner: {
        js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);",
      },
      logLevel: 'warning',
    });
    const root = join(directory, 'plugins');
    const running = promisify(execFile)(process.execPath, [program, root, inject('workerFile')], {
      timeout: 60_000,
    });
    onTestFinished(() => void running.child.kill('SIGKILL'));
    const { stdout } = await running;
    expect(stdout.trim()).toMatch(/^closed/);
  });
});
