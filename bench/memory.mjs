// The peak memory of an agent that takes a large bundle, beside one that takes a small bundle.
import path from 'node:path';

import { openBundle } from '../dist/client.mjs';
import { startAgent } from './agent.mjs';
import { bulkBundle } from './corpus.mjs';
import { installAgain } from './install.mjs';
import { ratios } from './measure.mjs';

const SMALL_MB = 10;

/** The most memory that a fresh agent had during one install. */
export async function peakOf(root, bundle) {
  const agent = await startAgent(root);
  try {
    const session = await agent.open();
    await installAgain(session, bundle);
    await session.close();
    return await agent.peak();
  } finally {
    await agent.stop();
  }
}

export async function measureMemory(bench) {
  const { memoryMb, rounds } = bench.options;
  await bench.inFolder(bench.options.disk, async (folder) => {
    const made = async (name, files) => {
      const file = path.join(folder, `${name}.tgz`);
      await bulkBundle(file, name, { files, bytesEach: 1_000_000 });
      return openBundle(file, { name });
    };
    const [small, large] = [await made('small', SMALL_MB), await made('large', memoryMb)];
    const peaks = { small: [], large: [] };
    for (let round = 0; round < rounds; round += 1) {
      peaks.small.push(await peakOf(path.join(folder, 'small'), small));
      peaks.large.push(await peakOf(path.join(folder, 'large'), large));
    }
    bench.add({
      what: `peak memory, bundle of ${memoryMb} MB`,
      against: `a bundle of ${SMALL_MB} MB`,
      bar: 1.1,
      values: ratios(peaks.large, peaks.small),
    });
  });
}
