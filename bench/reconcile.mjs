// A reconcile of 200 plugins that changes nothing, beside a shell that looks at each of them.
//
// The shell works as an operator without Airlock does: one `sh -c` a plugin, as `docker exec` starts one, that prints the
// marker. Here it is a plain child process, which takes a few milliseconds. `docker exec` takes 50 to 100, so in a container
// the distance is larger. The shell only prints; the reconcile also looks at every file for edits, and decides.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { askReconcile, install, packDirectory } from '../dist/client.mjs';
import { bundleFile, startAgent } from './agent.mjs';
import { makePlugin } from './corpus.mjs';
import { compare, report, timed } from './measure.mjs';

const PLUGINS = 200;
const ROUNDS = Number(process.env.AIRLOCK_BENCH_ROUNDS ?? 7);
const run = promisify(execFile);

/** Installs the plugins, and returns how they are declared. */
async function fill(session, folder) {
  const declared = [];
  const source = path.join(folder, 'source');
  for (let i = 0; i < PLUGINS; i += 1) {
    const name = `p${i}`;
    await makePlugin(source, name, { files: 6, bytes: 12_000 });
    const bundle = await packDirectory(source);
    const { tree } = await install(session, bundle, { operationId: randomUUID(), restart: false });
    declared.push({ name, tree });
    await bundle.dispose();
  }
  return declared;
}

/** The house-keeping of the installs is over when no event has come for two seconds. */
async function untilQuiet(session) {
  for (let events = 1; events > 0;) {
    events = 0;
    const stop = session.onEvent(() => (events += 1));
    await new Promise((resolve) => setTimeout(resolve, 2000));
    stop();
  }
}

const folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-bench-'));
const root = path.join(folder, 'root');
const agent = await startAgent(root);
try {
  const session = await agent.open('all');
  const declared = await fill(session, folder);
  await untilQuiet(session);
  let events = 0;
  session.onEvent(() => (events += 1));
  const found = new Set();
  const ask = async (params) => {
    for (const { state, fate = 'nothing done' } of await askReconcile(session, { declared, ...params }, {})) {
      found.add(`${state}, ${fate}`);
    }
  };
  const plan = () => ask({ mode: 'plan' });
  await plan();
  const before = await agent.written();
  for (let i = 0; i < ROUNDS; i += 1) await plan();
  const written = (await agent.written()) - before;
  const lock = path.join(folder, 'airlock.lock');
  await writeFile(lock, JSON.stringify({ version: 1, plugins: declared }));
  const env = { PATH: process.env.PATH, AIRLOCK_TOKEN: agent.token };
  const medians = await compare(
    {
      'reconcile, plan': () => timed(plan),
      'sh -c, once a plugin': () =>
        timed(async () => {
          for (const { name } of declared) await run('sh', ['-c', `cat "${root}/${name}/.complete"`]);
        }),
      'reconcile, apply': () => timed(() => ask({ mode: 'apply', operationId: randomUUID() })),
      'the command with --check': () =>
        timed(() =>
          run(process.execPath, [bundleFile, 'reconcile', '--lock', lock, '--check', '--to', agent.url], {
            env,
          }),
        ),
      'sh -c, one loop over all': () =>
        timed(() =>
          run('sh', ['-c', `for p in "${root}"/*/; do cat "$p.complete"; done`], { maxBuffer: 1e8 }),
        ),
    },
    ROUNDS,
  );
  report(`Reconcile of ${PLUGINS} plugins that changes nothing`, medians, { 'sh -c, once a plugin': 0.1 });
  console.log(
    `  found: ${[...found].join('; ')}; events: ${events}; written to the disk by ${ROUNDS} plans: ${written} bytes`,
  );
  await session.close();
} finally {
  await agent.stop();
  await rm(folder, { recursive: true, force: true });
}
