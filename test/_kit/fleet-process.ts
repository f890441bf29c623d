/** Many agents in one process, each with a root of its own, that dial in to one platform. Started by fleet.ts. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { startAgent } from '../../agent/agent.ts';
import { readAgentConfig } from '../../agent/config.ts';
import { createLog } from '../../agent/log.ts';

const [url = '', folder = '', workerFile = '', ...workspaces] = process.argv.slice(2);

const start = async (workspace: string): Promise<void> => {
  const token = join(folder, `${workspace}.token`);
  await writeFile(token, `token-of-${workspace}`.padEnd(43, '-'));
  const config = readAgentConfig(
    {},
    {
      AIRLOCK_ROOT: join(folder, workspace),
      AIRLOCK_LISTEN: '127.0.0.1:0',
      AIRLOCK_WATCH: 'off',
      AIRLOCK_WORKSPACE: workspace,
      AIRLOCK_DIAL: url,
      AIRLOCK_DIAL_TOKEN_FILE: token,
    },
  );
  await startAgent(config, new URL(workerFile), '0.0.0-test', createLog('silent'));
};

// A few at a time: each starts a thread when its platform starts the session.
const queue = workspaces.values();
const work = async (): Promise<void> => {
  for (const workspace of queue) await start(workspace);
};
await Promise.all(Array.from({ length: 4 }, work));
process.stdout.write('started\n');
