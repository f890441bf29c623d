// `npm run bench -- --curves`: how time and memory grow with files, bytes, plugins and connections. docs/charts/ shows them.
import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { listPlugins, openBundle, packDirectory } from '../dist/client.mjs';
import { createLoader } from '../dist/loader.mjs';
import { startAgent } from './agent.mjs';
import { bulkBundle, makePlugin } from './corpus.mjs';
import { measureConnections } from './connections.mjs';
import { installAgain } from './install.mjs';
import { compare, median, run, timed } from './measure.mjs';
import { peakOf } from './memory.mjs';
import { fill } from './scan.mjs';

const BYTES_PER_FILE = 1000;
const FILES_OF_BULK = 100;
const MB = 1_000_000;

/** The powers of ten from the least to the most. */
function decades(least, most) {
  const values = [];
  for (let value = least; value <= most; value *= 10) values.push(value);
  return values;
}

/** An install beside tar, and the peak memory of a fresh agent that takes the bundle. */
async function costOf(folder, bundle, rounds) {
  const agent = await startAgent(path.join(folder, `root-${randomUUID()}`), { keep: 1000 });
  const session = await agent.open();
  try {
    await installAgain(session, bundle);
    const gnu = async () => {
      const to = path.join(folder, `gnu-${randomUUID()}`);
      await run('mkdir', [to]);
      return timed(async () => {
        await run('tar', ['-xzf', bundle.file, '-C', to]);
        await run('sync', ['-f', to]);
      });
    };
    const airlock = async () => {
      const time = await timed(() => installAgain(session, bundle));
      await agent.quiet();
      return time;
    };
    const times = await compare({ airlock, gnu }, rounds);
    const peak = await peakOf(path.join(folder, `root-${randomUUID()}`), bundle);
    return { time: { airlock: median(times.airlock), tar: median(times.gnu) }, memory: { agent: peak / MB } };
  } finally {
    await session.close();
    await agent.stop();
  }
}

async function byFiles(bench, point) {
  for (const files of decades(10, bench.options.maxFiles)) {
    await bench.inFolder(bench.options.disk, async (folder) => {
      const source = await makePlugin(path.join(folder, 'made'), 'made', {
        files,
        bytes: files * BYTES_PER_FILE,
      });
      const bundle = await packDirectory(source, { out: path.join(folder, 'made.tgz') });
      point(files, await costOf(folder, bundle, bench.options.rounds));
    });
  }
}

async function byBytes(bench, point) {
  for (const mb of decades(1, bench.options.maxMb)) {
    await bench.inFolder(bench.options.disk, async (folder) => {
      const file = path.join(folder, 'made.tgz');
      await bulkBundle(file, 'made', { files: FILES_OF_BULK, bytesEach: (mb * MB) / FILES_OF_BULK });
      const bundle = await openBundle(file, { name: 'made' });
      point(mb * MB, await costOf(folder, bundle, bench.options.rounds));
    });
  }
}

/** A root with so many plugins: the start of its agent, a list, a scan, and the memory of the idle agent. */
async function costOfRoot(root, rounds) {
  const starts = [];
  const lists = [];
  const scans = [];
  const memory = [];
  for (let round = 0; round < rounds; round += 1) {
    const agent = await startAgent(root);
    const session = await agent.open();
    starts.push(agent.ready);
    await agent.quiet();
    memory.push((await agent.memory()) / MB);
    lists.push(await timed(() => listPlugins(session)));
    scans.push(await timed(() => createLoader({ roots: [root] }).scan()));
    await session.close();
    await agent.stop();
  }
  return {
    time: { start: median(starts), list: median(lists), scan: median(scans) },
    memory: { agent: median(memory) },
  };
}

async function byPlugins(bench, point) {
  await bench.inFolder(bench.options.disk, async (folder) => {
    const root = path.join(folder, 'root');
    let there = 0;
    for (const count of decades(1, bench.options.maxPlugins)) {
      const agent = await startAgent(root);
      const session = await agent.open();
      await fill(session, folder, count, there);
      await agent.quiet();
      await session.close();
      await agent.stop();
      there = count;
      point(count, await costOfRoot(root, bench.options.rounds));
    }
  });
}

async function byConnections(bench, point) {
  await measureConnections(decades(1, bench.options.maxConnections), bench.options.rounds, point);
}

const MEASURES = { files: byFiles, bytes: byBytes, plugins: byPlugins, connections: byConnections };

/** Measures one curve. @returns its points: x, the times in milliseconds, the memory in MB */
export async function measureCurve(bench, name) {
  const points = [];
  await MEASURES[name](bench, (x, { time, memory }) => {
    points.push({ x, time, memory });
    const said = Object.entries(time).map(([who, millis]) => `${who} ${millis.toFixed(1)} ms`);
    said.push(...Object.entries(memory).map(([who, mb]) => `memory of the ${who} ${mb.toFixed(0)} MB`));
    bench.say(`${name} ${x}: ${said.join(', ')}`);
  });
  return points;
}
