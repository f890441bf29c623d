// A platform to which agents dial in, in a process of its own: it does what each line of its standard input says.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { acceptAgents } from '../dist/client.mjs';
import { timed } from './measure.mjs';

const server = createServer();
const agents = acceptAgents(server, {
  client: 'bench',
  authenticate: ({ headers }) => headers['airlock-workspace'],
  onEvent: () => {},
});

const orders = {
  /** Asks all agents for their plugins. */
  call: async () => {
    let failed = 0;
    const millis = await timed(async () => {
      const results = await agents.each('all', (agent) => agent.call('plugin.list', {}), { concurrency: 64 });
      failed = results.filter(({ ok }) => !ok).length;
    });
    if (failed > 0) throw new Error(`${failed} agents did not answer`);
    return { millis, agents: agents.size };
  },
  memory: () => {
    globalThis.gc();
    return { rss: process.memoryUsage.rss() };
  },
};

server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(JSON.stringify({ port: server.address().port }));
for await (const order of createInterface(process.stdin)) console.log(JSON.stringify(await orders[order]()));
