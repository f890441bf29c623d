// The end of `npm run bench`, or alone `node bench/watch.mjs`: what the watcher costs. One SKILL.md edited in a plugin of
// 10,000 files beside hashing that tree, and the memory and time of watching 200 plugins. It prints what it saw and judges
// nothing.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { createLoader } from '../dist/loader.mjs';
import { makePlugin } from './corpus.mjs';
import { median, ms, timed } from './measure.mjs';

/** How long changes settle before they are looked at: a wait, not work. */
const SETTLE_MILLIS = 250;
const ROUNDS = 9;

async function plugin(root, name, files, bytes) {
  const folder = await makePlugin(path.join(root, name), name, { files, bytes });
  await mkdir(path.join(folder, 'skills', 'one'), { recursive: true });
  await writeFile(path.join(folder, 'skills', 'one', 'SKILL.md'), 'first');
  await writeFile(path.join(folder, '.complete'), '');
  return folder;
}

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

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

const heap = () => {
  collectGarbage();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, rss };
};
const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

async function big(folder, files) {
  const live = await plugin(folder, 'big', files, files * 6500);
  const before = heap();
  const loader = createLoader({ roots: [folder] });
  const watch = loader.watch();
  const ready = await timed(() => watch.ready);
  const after = heap();
  const events = watch[Symbol.asyncIterator]();
  const hashes = [];
  const verdicts = [];
  const cpu = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    hashes.push(await timed(() => hashTree(live)));
    const begun = process.cpuUsage();
    verdicts.push(
      await timed(async () => {
        await writeFile(path.join(live, 'skills', 'one', 'SKILL.md'), `round ${round}`);
        await events.next();
      }),
    );
    const { user, system } = process.cpuUsage(begun);
    cpu.push((user + system) / 1000);
  }
  await watch.close();
  const work = median(verdicts) - SETTLE_MILLIS;
  console.log(`\nOne SKILL.md edited in a plugin of ${files} files`);
  console.log(`  hashing the tree                  ${ms(median(hashes)).padStart(10)}`);
  console.log(
    `  save to verdict                   ${ms(median(verdicts)).padStart(10)}, of which ${SETTLE_MILLIS} ms settle`,
  );
  console.log(
    `  beside the settling               ${ms(work).padStart(10)} = ${(work / median(hashes)).toFixed(3)} ×  (to reach: ≤ 0.01)`,
  );
  console.log(
    `  processor time of it              ${ms(median(cpu)).padStart(10)} = ${(median(cpu) / median(hashes)).toFixed(3)} ×`,
  );
  console.log(
    `  start to watched                  ${ms(ready).padStart(10)} = ${(ready / median(hashes)).toFixed(2)} ×  (to reach: ≤ 1)`,
  );
  console.log(
    `  memory                            ${mb(after.used - before.used).padStart(10)} (resident ${mb(after.rss - before.rss)})`,
  );
}

async function many(folder, count) {
  for (let i = 0; i < count; i += 1) await plugin(folder, `p${i}`, 6, 12_000);
  const before = heap();
  const loader = createLoader({ roots: [folder] });
  const scan = await timed(() => loader.scan());
  const watch = loader.watch();
  const ready = await timed(() => watch.ready);
  const after = heap();
  const events = watch[Symbol.asyncIterator]();
  const begun = performance.now();
  for (let i = 0; i < count; i += 1) {
    await writeFile(path.join(folder, `p${i}`, 'skills', 'one', 'SKILL.md'), 'second');
  }
  for (let i = 0; i < count; i += 1) await events.next();
  const all = performance.now() - begun;
  const idle = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const { user, system } = process.cpuUsage(idle);
  await watch.close();
  console.log(`\n${count} plugins watched`);
  console.log(
    `  start to watched                  ${ms(ready).padStart(10)} = ${(ready / scan).toFixed(2)} × a first scan`,
  );
  console.log(
    `  memory                            ${mb(after.used - before.used).padStart(10)} (resident ${mb(after.rss - before.rss)})`,
  );
  console.log(`  all edited, to the last verdict   ${ms(all).padStart(10)}`);
  console.log(`  processor time of 2 idle seconds  ${ms((user + system) / 1000).padStart(10)}`);
}

for (const [work, count] of [
  [big, 10_000],
  [many, 200],
]) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-bench-'));
  try {
    await work(folder, count);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
