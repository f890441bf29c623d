// The start of an agent and its memory while it is idle, beside a bare Node process.
import path from 'node:path';

import { startAgent } from './agent.mjs';
import { ratios } from './measure.mjs';
import { bareNode } from './process.mjs';

export async function measureStart(bench) {
  await bench.inFolder(bench.options.disk, async (folder) => {
    const agents = [];
    const bare = [];
    for (let round = 0; round < Math.max(5, bench.options.rounds); round += 1) {
      const agent = await startAgent(path.join(folder, 'root'));
      bare.push(await bareNode());
      await agent.quiet();
      agents.push({ ready: agent.ready, memory: await agent.memory() });
      await agent.stop();
    }
    const of = (field) =>
      ratios(
        agents.map((figures) => figures[field]),
        bare.map((figures) => figures[field]),
      );
    const against = 'a bare Node process';
    bench.add({ what: 'start to ready', against, bar: 1.5, values: of('ready') });
    bench.add({ what: 'idle memory', against, bar: 1.5, values: of('memory') });
  });
}
