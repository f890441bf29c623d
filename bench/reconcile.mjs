// A reconcile of 200 plugins that changes nothing, beside a shell that looks at each of them.
//
// The shell works as an operator without Airlock does: one `sh -c` a plugin, as `docker exec` starts one, that prints the
// marker. Here it is a plain child process, which takes a few milliseconds. `docker exec` takes 50 to 100, so in a container
// the distance is larger. The shell only prints; the reconcile also looks at every file for edits, and decides.
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { askReconcile } from '../dist/client.mjs';
import { bundleFile, startAgent } from './agent.mjs';
import { compare, ratios, run, timed } from './measure.mjs';
import { PLUGINS, fill } from './scan.mjs';

/** A shell that prints the marker of each plugin. */
async function shells(root, declared) {
  for (const { name } of declared) await run('sh', ['-c', `cat "${root}/${name}/.complete"`]);
}

async function contenders({ agent, session, declared, folder, root }) {
  const lock = path.join(folder, 'airlock.lock');
  await writeFile(lock, JSON.stringify({ version: 1, plugins: declared }));
  const env = { PATH: process.env.PATH, AIRLOCK_TOKEN: agent.token };
  const command = [bundleFile, 'reconcile', '--lock', lock, '--check', '--to', agent.url];
  return {
    'reconcile, plan': () => timed(() => askReconcile(session, { declared, mode: 'plan' }, {})),
    'reconcile, apply': () =>
      timed(() => askReconcile(session, { declared, mode: 'apply', operationId: randomUUID() }, {})),
    'reconcile, command with --check': () => timed(() => run(process.execPath, command, { env })),
    shell: () => timed(() => shells(root, declared)),
  };
}

export async function measureReconcile(bench) {
  await bench.inFolder(bench.options.disk, async (folder) => {
    const root = path.join(folder, 'root');
    const agent = await startAgent(root);
    const session = await agent.open();
    try {
      const declared = await fill(session, folder, PLUGINS);
      await agent.quiet();
      const before = await agent.written();
      const { shell, ...ours } = await compare(
        await contenders({ agent, session, declared, folder, root }),
        bench.options.rounds,
      );
      bench.say(`Reconciles wrote ${(await agent.written()) - before} bytes to the disk`);
      for (const [what, times] of Object.entries(ours)) {
        const bar = what === 'reconcile, plan' ? 0.1 : null;
        bench.add({
          what: `${what} (${PLUGINS} plugins)`,
          against: 'one sh -c a plugin',
          bar,
          values: ratios(times, shell),
        });
      }
    } finally {
      await session.close();
      await agent.stop();
    }
  });
}
