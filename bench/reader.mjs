// What a reader sees of a plugin while it is updated again and again: by Airlock, and by two renames at the same pace.
import { spawn } from 'node:child_process';
import { cp, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { packDirectory } from '../dist/client.mjs';
import { startAgent } from './agent.mjs';
import { installAgain } from './install.mjs';
import { sleep, timed } from './measure.mjs';

const NAME = 'seen';
const looker = fileURLToPath(new URL('looker.mjs', import.meta.url));

/** Lets a reader look while the work goes on. @returns how often it looked and what failed */
async function watched(root, work) {
  const child = spawn(process.execPath, [looker, root, NAME], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  await lines.next();
  try {
    await work();
  } finally {
    child.stdin.end();
  }
  return JSON.parse((await lines.next()).value);
}

async function packVersions(folder) {
  const bundles = [];
  for (const version of ['1.0.0', '2.0.0']) {
    const source = path.join(folder, version);
    await mkdir(source);
    await writeFile(path.join(source, 'plugin.yaml'), `name: ${NAME}\nversion: ${version}\n`);
    for (const file of ['a.txt', 'b.txt']) await writeFile(path.join(source, file), version);
    bundles.push(await packDirectory(source, { out: path.join(folder, `${version}.tgz`) }));
  }
  return bundles;
}

/** Swaps two finished trees with two renames, at a pace in milliseconds. */
async function swapByRenames(root, updates, pace) {
  const at = (name) => path.join(root, name);
  for (let i = 0; i < updates; i += 1) {
    await rename(at(NAME), at('.old'));
    await rename(at('.new'), at(NAME));
    await rename(at('.old'), at('.new'));
    await sleep(pace);
  }
}

const failures = ({ looks, absent, refused, torn }) => ((absent + refused + torn) / looks) * 100;

export async function measureReader(bench) {
  const { rounds } = bench.options;
  const updates = Math.ceil(bench.options.updates / rounds);
  await bench.inFolder(bench.places.at(-1)?.parent ?? bench.options.disk, async (folder) => {
    const root = path.join(folder, 'root');
    const renamed = path.join(folder, 'renamed');
    const bundles = await packVersions(folder);
    const agent = await startAgent(root);
    const session = await agent.open();
    const seen = { airlock: [], renames: [] };
    try {
      await installAgain(session, bundles[0]);
      for (const name of [NAME, '.new']) {
        await cp(path.join(root, NAME), path.join(renamed, name), { recursive: true });
      }
      for (let round = 0; round < rounds; round += 1) {
        let millis = 0;
        const install = async () => {
          for (let i = 1; i <= updates; i += 1) await installAgain(session, bundles[i % 2]);
        };
        seen.airlock.push(await watched(root, async () => (millis = await timed(install))));
        const pace = millis / updates;
        seen.renames.push(await watched(renamed, () => swapByRenames(renamed, updates, pace)));
      }
    } finally {
      await session.close();
      await agent.stop();
    }
    const looks = seen.airlock.reduce((sum, one) => sum + one.looks, 0);
    bench.say(`A reader looked ${looks} times during ${updates * rounds} updates by Airlock`);
    const what = `failed looks during ${updates * rounds} updates`;
    bench.add({ what: `${what} by Airlock`, unit: '%', bar: 0, values: seen.airlock.map(failures) });
    bench.add({ what: `${what} by two renames`, unit: '%', values: seen.renames.map(failures) });
  });
}
