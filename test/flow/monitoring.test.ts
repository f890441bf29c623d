/** What the docs tell an operator to ask an agent, as it is typed there, and what Prometheus makes of the answer. */
import { spawn } from 'node:child_process';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type TestContext, beforeAll, describe, expect, it } from 'vitest';

import { TOKEN, type TestAgent, scratch, startTestAgent } from '../_kit/agent.ts';
import { version, put } from '../_kit/place.ts';
import { type Ended, endOf, repository } from '../_kit/program.ts';
import { promtool } from '../_kit/promtool.ts';
import { Wire } from '../_kit/wire.ts';

const PAGE = /^curl .*\/(?:metrics|healthz|readyz)(?=\s|$)/;
const SOCKET = '/run/airlock/agent.sock';
const ELSEWHERE = '10.0.0.7';

/** The lines of all pages that ask an agent for how it is. */
let examples: string[];
beforeAll(async () => {
  const names = (await readdir(join(repository, 'docs'))).filter((name) => name.endsWith('.md'));
  const files = ['README.md', ...names.map((name) => `docs/${name}`)];
  const texts = await Promise.all(files.map((file) => readFile(join(repository, file), 'utf8')));
  examples = texts.flatMap((text) => text.split('\n').filter((line) => PAGE.test(line)));
});

/** Runs a line as a shell does. What comes through a proxy comes from elsewhere. */
async function type(
  ctx: TestContext,
  line: string,
  agent: TestAgent,
  socket: string,
  token: string,
): Promise<Ended> {
  const home = await scratch();
  const elsewhere = line.includes(ELSEWHERE);
  const here = line
    .replace(SOCKET, socket)
    .replaceAll(/(?:127\.0\.0\.1|10\.0\.0\.7):7423/g, `127.0.0.1:${agent.port}`);
  const config = [
    'silent',
    'show-error',
    'fail',
    'noproxy = "*"',
    ...(elsewhere ? ['header = "Via: 1.1 proxy"'] : []),
  ];
  await writeFile(join(home, '.curlrc'), config.join('\n'));
  const env = { PATH: process.env['PATH'] ?? '', CURL_HOME: home, AIRLOCK_TOKEN: token };
  const child = spawn('sh', ['-c', here], { env, stdio: 'pipe' });
  const ended = await endOf(child);
  if (ended.code === 127) ctx.skip('this machine has no curl');
  return ended;
}

/** One agent on a port, and another one on a socket. */
async function listening(): Promise<{ agent: TestAgent; socket: string }> {
  const socket = join(await scratch(), 'agent.sock');
  await startTestAgent({ env: { AIRLOCK_LISTEN: `unix:${socket}` } });
  return { agent: await startTestAgent(), socket };
}

describe('the examples in the docs', () => {
  it('are of all pages and all ways', () => {
    expect(examples.length).toBeGreaterThanOrEqual(5);
    for (const way of ['/metrics', '/healthz', '/readyz', SOCKET, ELSEWHERE]) {
      expect(examples.some((line) => line.includes(way))).toBe(true);
    }
  });

  it('answer what is said of them', async (ctx) => {
    const { agent, socket } = await listening();
    for (const line of examples) {
      const { code, stdout, stderr } = await type(ctx, line, agent, socket, TOKEN);
      expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: '' });
      if (line.includes('/metrics')) expect(stdout).toContain('\nairlock_info{');
      else expect(stdout).toContain('"status":"ok"');
    }
  });

  it('are refused from elsewhere without a token that is known', async (ctx) => {
    const { agent, socket } = await listening();
    const line = examples.find((one) => one.includes(ELSEWHERE)) ?? '';
    const { code, stderr } = await type(
      ctx,
      line,
      agent,
      socket,
      'another-token-of-more-than-thirty-two-letters',
    );
    expect(code).toBe(22);
    expect(stderr).toContain('401');
  });
});

it('the answer of an agent that has worked is as Prometheus wants it', async (ctx) => {
  const { agent, socket } = await listening();
  await put(await Wire.start(agent), await version('1', '1'));
  const line = examples.find((one) => one.startsWith('curl http://127.0.0.1:7423/metrics')) ?? '';
  const { stdout } = await type(ctx, line, agent, socket, TOKEN);
  expect(stdout).toContain('airlock_installs_total{result="installed",code="none"} 1');
  expect(promtool(ctx, ['check', 'metrics'], stdout)).toEqual({ code: 0, said: '' });
});
