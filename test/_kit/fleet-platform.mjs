// A platform for a fleet of agents, over the built client: it does what it is told on its standard input, a JSON line
// for each order, and answers with one. Started by fleet.ts with --expose-gc.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { acceptAgents, byToken, openBundle } from 'airlock/client';

const [port = '0'] = process.argv.slice(2);
const completed = new Map();
let peak = 0;
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss());
};

const server = createServer();
const agents = acceptAgents(server, {
  client: 'fleet',
  authenticate: byToken((workspace) => [`token-of-${workspace}`.padEnd(43, '-')]),
  onEvent: (workspace, { type }) => {
    if (type === 'install.complete') completed.set(workspace, (completed.get(workspace) ?? 0) + 1);
  },
});
setInterval(look, 50).unref();

const orders = {
  /** The memory that is left after garbage was collected, and the most so far. */
  memory: () => {
    look();
    globalThis.gc();
    return { rss: process.memoryUsage.rss(), peak, connected: agents.size };
  },
  /** Pushes to all, and cuts the connections of every n-th agent while it does. */
  push: async ({ file, cutEach, concurrency }) => {
    const bundle = await openBundle(file);
    const workspaces = [...agents].map(({ workspace }) => workspace);
    let cuts = 0;
    let number = 0;
    const onProgress = ({ sent, total }) => {
      if (cutEach === 0 || sent === 0 || sent === total) return;
      number += 1;
      if (number % cutEach !== 0) return;
      cuts += 1;
      // Which one it hits does not matter.
      void agents.agent(workspaces[(number * 7) % workspaces.length]).session?.close();
    };
    const results = await agents.push('all', bundle, { concurrency, onProgress, waitMillis: 120_000 });
    const said = {};
    const faults = [];
    const installs = {};
    for (const result of results) {
      const word = result.ok ? result.value.status : result.fault.code;
      said[word] = (said[word] ?? 0) + 1;
      if (result.ok) installs[result.workspace] = result.value.installId;
      else faults.push(`${result.workspace}: ${result.fault.message}`);
    }
    return { said, faults: faults.slice(0, 5), cuts, installs };
  },
  /** How often each workspace has told that an install was complete, by number. */
  events: () => {
    const times = {};
    for (const count of completed.values()) times[count] = (times[count] ?? 0) + 1;
    return times;
  },
};

createInterface(process.stdin).on('line', (line) => {
  const { order, ...more } = JSON.parse(line);
  void Promise.resolve(orders[order](more)).then((answer) =>
    process.stdout.write(`${JSON.stringify(answer)}\n`),
  );
});
server.listen(Number(port), '127.0.0.1', 4096, () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
});
