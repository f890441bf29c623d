// Installs over the socket beside what people extract and swap with today.
import { randomUUID } from 'node:crypto';
import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';

import * as tar from 'tar';

import { install, packDirectory } from '../dist/client.mjs';
import { startAgent } from './agent.mjs';
import { makePlugin } from './corpus.mjs';
import { floorFile } from './floor.mjs';
import { compare, isInstalled, median, ratios, run, timed } from './measure.mjs';

export const BYTES_PER_FILE = 6500;
const GNU = 'tar -xzf, sync -f';
const NODE_TAR = 'node-tar x, sync -f';
const FLOOR = 'a script of 60 lines, sync -f';

/** Installs a bundle although it is live already. */
export const installAgain = (session, bundle) =>
  install(session, bundle, { operationId: randomUUID(), force: true });

/** Extracts with a program and makes it durable, as a script would. @returns milliseconds of processor time */
async function extract(program, bundle, to) {
  await mkdir(to, { recursive: true });
  const script = 'set -e; "$1" -xzf "$2" -C "$3"; sync -f "$3"; times';
  const { stdout } = await run('sh', ['-c', script, 'sh', program, bundle, to]);
  // The last line is what the children of the shell have used: user and system, as 0m1.250000s.
  const parts = stdout
    .trim()
    .split('\n')
    .at(-1)
    .matchAll(/(\d+)m([\d.]+)s/g);
  return [...parts].reduce((sum, [, minutes, seconds]) => sum + (minutes * 60 + Number(seconds)) * 1000, 0);
}

/** Extracts beside the live version, and swaps with two renames: between them nothing is live. */
async function renames(bundle, folder, round) {
  const staged = path.join(folder, `staged-${round}`);
  await extract('tar', bundle, staged);
  const live = path.join(folder, 'live');
  if (round > 0) await rename(live, path.join(folder, `old-${round}`));
  await rename(staged, live);
  await run('sync', ['-f', folder]);
}

/** What Airlock is compared with; each run goes into a place of its own. */
async function competitors(bundle, folder, used) {
  const place = (who) => path.join(folder, `${who}-${randomUUID()}`);
  const bsdtar = (await isInstalled('bsdtar'))
    ? { 'bsdtar -xzf, sync -f': () => timed(() => extract('bsdtar', bundle.file, place('bsd'))) }
    : {};
  const swaps = place('renames');
  let swap = 0;
  return {
    [GNU]: () => timed(async () => used.push(await extract('tar', bundle.file, place('gnu')))),
    ...bsdtar,
    [NODE_TAR]: () =>
      timed(async () => {
        const to = place('node');
        await mkdir(to);
        await tar.x({ file: bundle.file, cwd: to });
        await run('sync', ['-f', to]);
      }),
    [FLOOR]: () =>
      timed(async () => {
        const to = place('floor');
        await mkdir(to);
        await run(process.execPath, [floorFile, bundle.file, to]);
        await run('sync', ['-f', to]);
      }),
    'tar, two renames, sync -f': () => timed(() => renames(bundle.file, swaps, swap++)),
  };
}

/** An agent that keeps all versions, so that nothing is removed while others are measured. */
export async function keeper(folder) {
  const agent = await startAgent(path.join(folder, `root-${randomUUID()}`), { keep: 1000 });
  const session = await agent.open(['install.progress']);
  const steps = new Map();
  const used = [];
  /** Of the agent, and of the client here. */
  const processor = async () => {
    const { user, system } = process.cpuUsage();
    return (await agent.processor()) + (user + system) / 1000;
  };
  let kept = () => {};
  session.onEvent(({ data: { step, millis } }) => {
    if (millis === undefined) return;
    steps.set(step, [...(steps.get(step) ?? []), millis]);
    if (step === 'collect') kept();
  });
  return {
    /** Installs, and then waits for the end of collect; or, quiet, until the agent does nothing more at all. */
    push: async (bundle, { quiet = false } = {}) => {
      const house = new Promise((resolve) => {
        kept = resolve;
      });
      const before = await processor();
      const time = await timed(() => installAgain(session, bundle));
      used.push((await processor()) - before);
      await house;
      if (quiet) await agent.quiet();
      return time;
    },
    steps,
    /** Milliseconds of processor time of each install until its answer. */
    used,
    stop: async () => {
      await session.close();
      await agent.stop();
    },
  };
}

/**
 * Each install beside each extraction, into a place of its own, and nothing is removed until all is measured: for minutes
 * after a file was removed ext4 does not give its inode away again, and looks at each such one for every new file, so that
 * whoever removes slows down whoever comes next. What removing costs is told apart, by {@link afterwards}.
 *
 * @returns the median of an install in milliseconds
 */
async function installs(bench, { place, folder, bundle, what, bars, rounds, quiet = false }) {
  const agent = await keeper(folder);
  try {
    const airlock = () => agent.push(bundle, { quiet });
    await airlock();
    await airlock();
    agent.steps.clear();
    agent.used.length = 0;
    const used = [];
    const times = await compare({ airlock, ...(await competitors(bundle, folder, used)) }, rounds);
    for (const [against, theirs] of Object.entries(times)) {
      if (against === 'airlock') continue;
      const bar = bars[against] ?? null;
      bench.add({ what, against, place, bar, values: ratios(times.airlock, theirs) });
    }
    bench.add({ what: `${what}: ${FLOOR}`, against: GNU, place, values: ratios(times[FLOOR], times[GNU]) });
    // A shell counts in ticks of 10 ms: what is shorter cannot be compared.
    if (used.every((millis) => millis > 50)) {
      bench.add({ what: `${what}, processor time`, against: GNU, place, values: ratios(agent.used, used) });
    }
    const middles = Object.entries(times).map(([name, list]) => `${name} ${median(list).toFixed(0)} ms`);
    bench.say(`${what} on ${place}: ${middles.join('; ')}`);
    const parts = [...agent.steps].map(([step, millis]) => `${step} ${median(millis).toFixed(1)} ms`);
    bench.say(`  by step: ${parts.join(', ')}`);
    return median(times.airlock);
  } finally {
    await agent.stop();
  }
}

/** The same plugin again and again: what the removal of old versions costs, and what the agent does after its answer. */
async function afterwards(bench, { place, folder, bundle, alone, rounds }) {
  const agent = await startAgent(path.join(folder, 'row'), { loop: path.join(folder, 'loop.json') });
  const session = await agent.open();
  try {
    // These displace nothing that has to go.
    for (let i = 0; i < 2; i += 1) await installAgain(session, bundle);
    await agent.blocked();
    const row = [];
    const loop = [];
    for (let round = 0; round < rounds; round += 1) {
      row.push((await timed(() => installAgain(session, bundle))) / alone);
      loop.push(await agent.blocked());
    }
    const after = [];
    for (let round = 0; round < rounds; round += 1) {
      after.push(await shareAfterAnswer(bench, agent, session, bundle));
    }
    bench.add({ what: 'big install, one after another', against: 'one alone', place, bar: 1.3, values: row });
    bench.add({ what: 'event loop blocked, big install (p99)', place, unit: 'ms', bar: 10, values: loop });
    bench.add({
      what: 'processor time after the answer',
      against: "the big install's own",
      place,
      unit: '%',
      bar: 5,
      values: after,
    });
  } finally {
    await session.close();
    await agent.stop();
  }
}

/** The processor time that the agent uses after an answer, in percent of what it used until then. */
async function shareAfterAnswer({ say }, agent, session, bundle) {
  await agent.quiet();
  const before = await agent.processor();
  await installAgain(session, bundle);
  const answered = await agent.processor();
  await agent.quiet();
  const [own, after] = [answered - before, (await agent.processor()) - answered];
  say(`  processor time of an install: ${own} ms, and ${after} ms after its answer`);
  return (after / own) * 100;
}

/** Installs the small plugin, the real ones and the big one. */
export async function measureInstalls(bench) {
  const { files, rounds } = bench.options;
  if (bench.bundles.length === 0) {
    bench.leaveOut('real packages', 'there are none beside the repository; name some with --bundle');
  }
  for (const { name: place, parent } of await bench.roomy(files * BYTES_PER_FILE * (rounds * 6 + 8))) {
    await bench.inFolder(parent, async (folder) => {
      const made = async (name, size) => {
        const source = await makePlugin(path.join(folder, name), name, size);
        return packDirectory(source, { out: path.join(folder, `${name}.tgz`) });
      };
      const small = await made('small', { files: 32, bytes: 180_000 });
      const bars = { [GNU]: 1 };
      await installs(bench, { place, folder, bundle: small, what: 'small plugin', bars, rounds: rounds * 4 });
      for (const bundle of bench.bundles) {
        const what = path.basename(bundle.file);
        await installs(bench, { place, folder, bundle, what, bars, rounds: rounds * 2 });
      }
      const big = await made('big', { files, bytes: files * BYTES_PER_FILE });
      const what = `big plugin (${files} files)`;
      const bigBars = { [GNU]: 1, [NODE_TAR]: 0.1 };
      const alone = await installs(bench, {
        place,
        folder,
        bundle: big,
        what,
        bars: bigBars,
        rounds,
        quiet: true,
      });
      await afterwards(bench, { place, folder, bundle: big, alone, rounds });
    });
  }
}
