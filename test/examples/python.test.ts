/**
 * The client in Python agrees with the vectors, stands hostile servers, and speaks with real agents. The loader in Python agrees
 * with the table of cases that the loader of this package agrees with.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { type TestContext, expect, test } from 'vitest';

import { TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { repository } from '../_kit/program.ts';

const run = promisify(execFile);
const client = join(repository, 'examples/python/airlock.py');
const loader = join(repository, 'examples/python/loader.py');
const checks = join(repository, 'test/examples/airlock_test.py');
const loaderChecks = join(repository, 'test/examples/loader_test.py');

const has = async (...words: string[]): Promise<boolean> =>
  run('python3', words).then(
    () => true,
    () => false,
  );

async function needsPython(context: TestContext): Promise<void> {
  if (!(await has('--version'))) context.skip('there is no python3 here');
}

/** Runs a class of the tests in Python. @throws with all that it has said, if one of them fails. */
async function runChecks(name: string, env: Record<string, string> = {}): Promise<void> {
  const { stderr } = await run('python3', ['-W', 'error', checks, name], { env: { ...process.env, ...env } });
  expect(stderr).toMatch(/^OK$/m);
}

test('agrees with the vectors', async (context) => {
  await needsPython(context);
  await runChecks('Vectors');
});

test('refuses what no agent would say, and ends', async (context) => {
  await needsPython(context);
  await runChecks('Servers');
});

test('installs, goes on after a cut, rolls back and follows events', async (context) => {
  await needsPython(context);
  const folder = await scratch();
  const agent = await startTestAgent();
  const unix = join(folder, 'agent.sock');
  await startTestAgent({ env: { AIRLOCK_LISTEN: `unix:${unix}`, AIRLOCK_TOKEN: '' } });
  const env: Record<string, string> = {
    AIRLOCK_TEST_URL: `ws://127.0.0.1:${agent.port}`,
    AIRLOCK_TEST_ROOT: agent.layout.root,
    AIRLOCK_TOKEN: TOKEN,
    AIRLOCK_TEST_UNIX: `ws+unix:${unix}`,
  };
  if (canCertify()) {
    const authority = makeAuthority(folder, 'authority');
    const own = makeCertificate(folder, 'agent', authority);
    const mine = makeCertificate(folder, 'client', authority);
    const secure = await startTestAgent({
      env: { AIRLOCK_TLS_CERT: own.cert, AIRLOCK_TLS_KEY: own.key, AIRLOCK_TLS_CLIENT_CA: authority.cert },
    });
    env['AIRLOCK_TEST_TLS'] = `wss://127.0.0.1:${secure.port}`;
    env['AIRLOCK_TEST_CERTIFICATES'] = [authority.cert, mine.cert, mine.key].join(':');
  }
  await runChecks('Agents', env);
});

test('the loader agrees with the table of cases, and reads files of one version', async (context) => {
  await needsPython(context);
  const { stderr, stdout } = await run('python3', ['-W', 'error', loaderChecks]);
  expect(stderr).toMatch(/^OK$/m);
  expect(stdout).toMatch(/^\d{3} plugins judged$/m);
});

test('the loader has at most 150 lines', async () => {
  const lines = (await readFile(loader, 'utf8')).trimEnd().split('\n');
  expect(lines.length).toBeLessThanOrEqual(150);
});

test('is Python 3.9, and typed where mypy is installed', async (context) => {
  await needsPython(context);
  const read = 'import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 9))';
  for (const file of [client, loader, join(repository, 'examples/python/gate.py')]) {
    await run('sh', ['-c', `python3 -c '${read}' < "$0"`, file]);
  }
  if (await has('-m', 'mypy', '--version')) await run('python3', ['-m', 'mypy', '--strict', client, loader]);
});
