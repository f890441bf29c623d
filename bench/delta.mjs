// One SKILL.md of a big plugin is edited: what the agent lacks is sent, beside the whole bundle.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { packDirectory, push } from '../dist/client.mjs';
import { startAgent } from './agent.mjs';
import { makePlugin } from './corpus.mjs';
import { BYTES_PER_FILE } from './install.mjs';
import { compare, median, ratios, timed } from './measure.mjs';

/** Pushes a version with another text in SKILL.md. Packing is not measured: both ways need it. */
async function edit(agent, source, text, delta) {
  await writeFile(path.join(source, 'SKILL.md'), `---\nname: big\ndescription: ${text}\n---\n`);
  const bundle = await packDirectory(source);
  try {
    await agent.quiet();
    let pushed;
    const time = await timed(async () => {
      pushed = await push(() => agent.open(), bundle, { delta });
    });
    return { time, bytes: pushed.delta?.bytes ?? bundle.size, of: bundle.size };
  } finally {
    await bundle.dispose();
  }
}

/** Nothing is removed meanwhile: ext4 is slow with new files for minutes after a removal, whichever way they come. */
export async function measureDelta(bench) {
  const { files, rounds } = bench.options;
  for (const { name: place, parent } of await bench.roomy(files * BYTES_PER_FILE * (rounds * 2 + 4))) {
    await bench.inFolder(parent, async (folder) => {
      const size = { files, bytes: files * BYTES_PER_FILE };
      const source = await makePlugin(path.join(folder, 'source'), 'big', size);
      const agent = await startAgent(path.join(folder, 'root'), { keep: 1000 });
      const shares = [];
      try {
        await edit(agent, source, 'first', false);
        const whole = async (round) => (await edit(agent, source, `whole ${round}`, false)).time;
        const delta = async (round) => {
          const { time, bytes, of } = await edit(agent, source, `delta ${round}`, true);
          shares.push((bytes / of) * 100);
          return time;
        };
        const times = await compare({ delta, whole }, rounds);
        const what = `one SKILL.md of ${files} files edited`;
        bench.add({ what, against: 'the bytes of a full push', place, unit: '%', bar: 2, values: shares });
        const bar = place === 'disk' ? 0.5 : null;
        bench.add({ what, against: 'a full push', place, bar, values: ratios(times.delta, times.whole) });
        bench.say(
          `${what} on ${place}: delta ${median(times.delta).toFixed(0)} ms, whole ${median(times.whole).toFixed(0)} ms`,
        );
      } finally {
        await agent.stop();
      }
    });
  }
}
