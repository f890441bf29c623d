// `npm run bench [-- --files N] [-- --rounds N]`: Airlock beside what people use today, interleaved, in one run, on
// tmpfs and on disk. It prints what it saw and judges nothing: machines differ, ratios less so.
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';

import * as tar from 'tar';

import { install, packDirectory } from '../dist/client.mjs';
import { createLoader } from '../dist/loader.mjs';
import { startAgent } from './agent.mjs';
import { makePlugin } from './corpus.mjs';
import { compare, median, ms, report, run, timed } from './measure.mjs';

const { values } = parseArgs({
  options: { files: { type: 'string', default: '18000' }, rounds: { type: 'string', default: '3' } },
});
const FILES = Number(values.files);
const ROUNDS = Number(values.rounds);
const BYTES_PER_FILE = 6500;

/** Extracts with GNU tar and makes it durable, as a script would. */
const gnuTar = (bundle, to) =>
  timed(async () => {
    await mkdir(to);
    await run('tar', ['-xzf', bundle, '-C', to]);
    await run('sync', ['-f', to]);
  });

const folders = [];

async function inFolder(parent, work) {
  const folder = await mkdtemp(path.join(parent, 'airlock-bench-'));
  folders.push(folder);
  await work(folder);
}

/**
 * Each install beside each extraction, into a place of its own, and nothing is removed until all is measured: for minutes
 * after a file was removed ext4 does not give its inode away again, and looks at each such one for every new file, so that
 * whoever removes slows down whoever comes next. What removing costs is told apart, by {@link inARow}.
 */
async function installs(folder, label, source, rounds, { bars, row }) {
  const bundle = await packDirectory(source, { out: path.join(folder, `${randomUUID()}.tgz`) });
  const agent = await startAgent(path.join(folder, 'root'), { keep: 1000 });
  const session = await agent.open(['install.progress']);
  const place = (who) => path.join(folder, `${who}-${randomUUID()}`);
  const steps = new Map();
  let kept = () => {};
  session.onEvent(({ data: { step, millis } }) => {
    if (millis === undefined) return;
    steps.set(step, [...(steps.get(step) ?? []), millis]);
    if (step === 'collect') kept();
  });
  try {
    const push = async () => {
      // What the agent does after its answer is not to slow down the next one.
      const house = new Promise((resolve) => {
        kept = resolve;
      });
      const time = await timed(() => install(session, bundle, { operationId: randomUUID(), force: true }));
      await house;
      return time;
    };
    await push();
    await push();
    steps.clear();
    const medians = await compare(
      {
        airlock: push,
        'tar -xzf and sync -f': () => gnuTar(bundle.file, place('gnu')),
        'node-tar x and sync -f': () =>
          timed(async () => {
            const to = place('node');
            await mkdir(to);
            await tar.x({ file: bundle.file, cwd: to });
            await run('sync', ['-f', to]);
          }),
      },
      rounds,
    );
    report(`${label}: ${bundle.files} files, ${(bundle.bytes / 1e6).toFixed(1)} MB`, medians, bars);
    const parts = [...steps].map(([step, millis]) => `${step} ${ms(median(millis))}`);
    console.log(`  airlock by step: ${parts.join(', ')}`);
    if (row) await inARow(folder, bundle, rounds, medians.get('airlock'));
  } finally {
    await session.close();
    await agent.stop();
    await bundle.dispose();
  }
}

/** The same plugin again and again, each asked for as soon as the one before is answered: it waits for its removals. */
async function inARow(folder, bundle, rounds, alone) {
  const loop = path.join(folder, 'loop.json');
  const agent = await startAgent(path.join(folder, 'row'), { loop });
  const session = await agent.open();
  const times = [];
  try {
    for (let round = 0; round < rounds + 2; round += 1) {
      times.push(await timed(() => install(session, bundle, { operationId: randomUUID(), force: true })));
    }
  } finally {
    await session.close();
    await agent.stop();
  }
  // The first installs displace nothing that has to go.
  const each = median(times.slice(2));
  console.log(
    `  airlock, one after another, old versions removed: ${ms(each)} = ${(each / alone).toFixed(2)} × the above`,
  );
  const { p99 } = JSON.parse(await readFile(loop, 'utf8'));
  console.log(`  event loop of that agent: blocked for ${ms(p99)} (p99)  (to reach: ≤ 10 ms)`);
}

async function scans(folder) {
  const source = await makePlugin(path.join(folder, 'source'), 'p0', { files: 6, bytes: 12_000 });
  const root = path.join(folder, 'root');
  const agent = await startAgent(root);
  const session = await agent.open();
  try {
    for (let i = 0; i < 200; i += 1) {
      await makePlugin(source, `p${i}`, { files: 6, bytes: 12_000 });
      const bundle = await packDirectory(source);
      await install(session, bundle, { operationId: randomUUID() });
      await bundle.dispose();
    }
  } finally {
    await session.close();
    await agent.stop();
  }
  const loader = createLoader({ roots: [root] });
  const medians = await compare(
    {
      'loader.scan': () => timed(() => loader.scan()),
      'readdir and the same manifests': () =>
        timed(async () => {
          const names = (await readdir(root)).filter((name) => !name.startsWith('.'));
          await Promise.all(names.map((name) => readFile(path.join(root, name, 'plugin.yaml'), 'utf8')));
        }),
    },
    31,
  );
  report('Scan of 200 admitted plugins', medians, { 'readdir and the same manifests': 1.5 });
}

async function startAndIdle(folder) {
  const starts = [];
  const bare = [];
  const memory = [];
  const bareMemory = [];
  for (let round = 0; round < 7; round += 1) {
    const agent = await startAgent(path.join(folder, 'root'));
    starts.push(agent.ready);
    memory.push(await agent.memory());
    await agent.stop();
    const begun = performance.now();
    const child = spawn(process.execPath, ['-e', 'console.log(1);setInterval(()=>{},1e6)'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    bare.push(performance.now() - begun);
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
    bareMemory.push(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  }
  const ratio = (a, b) => (median(a) / median(b)).toFixed(2);
  console.log('\nStart and idle memory, beside a bare Node process');
  console.log(
    `  start to ready   ${ms(median(starts))} / ${ms(median(bare))} = ${ratio(starts, bare)}  (to reach: ≤ 1.5)`,
  );
  const mb = (list) => `${(median(list) / 1e6).toFixed(0)} MB`;
  console.log(
    `  idle memory      ${mb(memory)} / ${mb(bareMemory)} = ${ratio(memory, bareMemory)}  (to reach: ≤ 1.5)`,
  );
}

async function isThere(folder) {
  return access(folder).then(
    () => true,
    () => false,
  );
}

const places = [['disk', process.env.AIRLOCK_BENCH_DISK ?? os.tmpdir()]];
if (await isThere('/dev/shm')) places.push(['tmpfs', '/dev/shm']);
else console.log('No /dev/shm here: tmpfs is left out');
await promisify(execFile)('tar', ['--version']).catch(() => {
  console.error('GNU tar is missing, and the benchmarks compare with it: install it, then run them again');
  process.exit(1);
});

console.log(`Node ${process.version}, ${os.cpus().length} cores, medians of ${ROUNDS} interleaved rounds`);
try {
  for (const [name, parent] of places) {
    await inFolder(parent, async (folder) => {
      const small = await makePlugin(path.join(folder, 'small'), 'small', { files: 32, bytes: 180_000 });
      await installs(folder, `Small plugin on ${name}`, small, ROUNDS * 5, {
        bars: { 'tar -xzf and sync -f': 1 },
        row: false,
      });
    });
    await inFolder(parent, async (folder) => {
      const big = await makePlugin(path.join(folder, 'big'), 'big', {
        files: FILES,
        bytes: FILES * BYTES_PER_FILE,
      });
      await installs(folder, `Big plugin on ${name}`, big, ROUNDS, {
        bars: { 'tar -xzf and sync -f': 1, 'node-tar x and sync -f': 0.1 },
        row: true,
      });
    });
  }
  await inFolder(os.tmpdir(), scans);
  await inFolder(os.tmpdir(), startAndIdle);
} finally {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
}
await import('./watch.mjs');
await import('./reconcile.mjs');
