// What the watcher costs: one SKILL.md edited in a large plugin, and the start of a watch, beside hashing that tree.
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { packDirectory } from '../dist/client.mjs';
import { createLoader } from '../dist/loader.mjs';
import { startAgent } from './agent.mjs';
import { makePlugin } from './corpus.mjs';
import { installAgain } from './install.mjs';
import { ratios, sleep, timed } from './measure.mjs';

/** How long changes settle before they are looked at: a wait, not work. */
const SETTLE_MILLIS = 250;
const MANY = 200;

async function plugin(root, name, files, bytes) {
  const folder = await makePlugin(path.join(root, name), name, { files, bytes });
  await mkdir(path.join(folder, 'skills', 'one'), { recursive: true });
  await writeFile(skillOf(folder), 'first');
  await writeFile(path.join(folder, '.complete'), '');
  return folder;
}

const skillOf = (folder) => path.join(folder, 'skills', 'one', 'SKILL.md');

async function hashTree(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  const queue = files.values();
  const worker = async () => {
    for (const file of queue) {
      const bytes = await readFile(file);
      createHash('sha256').update(bytes).digest('hex');
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** One start of a watch, and one edit that it sees: times and processor time in milliseconds. */
async function watchOnce(root, live, text) {
  const watch = createLoader({ roots: [root] }).watch();
  try {
    const ready = await timed(() => watch.ready);
    const events = watch[Symbol.asyncIterator]();
    const begun = process.cpuUsage();
    const verdict = await timed(async () => {
      await writeFile(skillOf(live), text);
      await events.next();
    });
    const { user, system } = process.cpuUsage(begun);
    return { ready, verdict: Math.max(0, verdict - SETTLE_MILLIS), processor: (user + system) / 1000 };
  } finally {
    await watch.close();
  }
}

async function measureBig(bench, folder) {
  const { watched: files, rounds } = bench.options;
  const live = await plugin(folder, 'big', files, files * 6500);
  const seen = [];
  const hashes = [];
  await hashTree(live);
  for (let round = 0; round < rounds; round += 1) {
    hashes.push(await timed(() => hashTree(live)));
    seen.push(await watchOnce(folder, live, `round ${round}`));
  }
  const against = `hashing the tree (${files} files)`;
  const of = (field) =>
    ratios(
      seen.map((figures) => figures[field]),
      hashes,
    );
  bench.add({ what: 'edit to verdict, without settling', against, bar: 0.01, values: of('verdict') });
  bench.add({ what: 'edit to verdict, processor time', against, values: of('processor') });
  bench.add({ what: 'start to watched, without a receipt', against, bar: 1, values: of('ready') });
}

/** The processor time (milliseconds) of an agent from its start until it does nothing more. */
async function startOf(root) {
  const agent = await startAgent(root);
  await agent.quiet();
  const used = await agent.processor();
  await agent.stop();
  return used;
}

/**
 * The same plugin as an agent has installed it. Its receipt names the digest of each file, so an agent that starts reads
 * none that has not changed since.
 */
async function measureInstalled(bench, folder) {
  const { watched: files, rounds } = bench.options;
  const root = path.join(folder, 'root');
  const source = await makePlugin(path.join(folder, 'big'), 'big', { files, bytes: files * 6500 });
  const bundle = await packDirectory(source, { out: path.join(folder, 'big.tgz') });
  const agent = await startAgent(root);
  const session = await agent.open();
  await installAgain(session, bundle);
  await session.close();
  await agent.stop();
  const starts = [];
  const hashes = [];
  await hashTree(source);
  for (let round = 0; round < rounds; round += 1) {
    const begun = process.cpuUsage();
    await hashTree(source);
    const { user, system } = process.cpuUsage(begun);
    hashes.push((user + system) / 1000);
    starts.push((await startOf(root)) - (await startOf(path.join(folder, `empty-${round}`))));
  }
  const what = 'start to watched, installed by an agent, processor time';
  bench.add({ what, against: `hashing the tree (${files} files)`, bar: 1, values: ratios(starts, hashes) });
}

/** What 200 watched plugins cost while nothing happens. */
async function measureMany(bench, folder) {
  for (let i = 0; i < MANY; i += 1) await plugin(folder, `p${i}`, 6, 12_000);
  const loader = createLoader({ roots: [folder] });
  const scan = await timed(() => loader.scan());
  const watch = loader.watch();
  const ready = await timed(() => watch.ready);
  const idle = process.cpuUsage();
  await sleep(2000);
  const { user, system } = process.cpuUsage(idle);
  await watch.close();
  bench.add({ what: `start to watched (${MANY} plugins)`, against: 'a first scan', values: [ready / scan] });
  bench.say(`${MANY} watched plugins take ${((user + system) / 1000).toFixed(1)} ms of 2 idle seconds`);
}

export async function measureWatch(bench) {
  await bench.inFolder(bench.options.disk, (folder) => measureBig(bench, folder));
  await bench.inFolder(bench.options.disk, (folder) => measureInstalled(bench, folder));
  await bench.inFolder(bench.options.disk, (folder) => measureMany(bench, folder));
}
