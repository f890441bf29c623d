/** Many clients at once: so many with a plugin each, and as many with one and the same. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Bundle } from '../../client/bundle.ts';
import { openSession } from '../../client/connect.ts';
import { push } from '../../client/push.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { workIn } from './at-work.ts';
import type { Program } from './program.ts';
import { lookAt, saidBy, untruths } from './truth.ts';
import { until } from './until.ts';
import { versionOf } from './versions.ts';

export type CrowdOutcome = {
  broken: string[];
  /** Answers to those with the same plugin, by status. */
  same: Record<string, number>;
  /** How often somebody was told to come later, and lost a connection. */
  told: number;
  lost: number;
  millis: number;
  /** The most memory that the agent has used, in MiB. */
  peakMib: number;
};

async function bundleOf({ folder }: Program, plugin: string): Promise<Bundle> {
  const { bundle } = versionOf(plugin, 1, { files: 20, large: 200_000 });
  const file = join(folder, `${plugin}.tgz`);
  await writeFile(file, bundle.bytes);
  return { plugin, file, size: bundle.size, sha256: bundle.sha256 };
}

/** Pushes with `count` plugins and `count` times one plugin, each over a connection of its own, all at once. */
export async function pushCrowd(agent: Program, count: number): Promise<CrowdOutcome> {
  const { root, url, token } = agent;
  const others = Array.from({ length: count }, (_, i) => `own-${i}`);
  const bundles = new Map<string, Bundle>();
  for (const plugin of ['same', ...others]) bundles.set(plugin, await bundleOf(agent, plugin));
  const outcome: CrowdOutcome = { broken: [], same: {}, told: 0, lost: 0, millis: 0, peakMib: 0 };
  const before = await lookAt(root, 'same');
  const answers: Installed[] = [];
  const one = async (plugin: string): Promise<void> => {
    const open = (signal: AbortSignal | undefined) => openSession({ url, token, client: plugin, signal });
    const said = await saidBy(
      push(open, bundles.get(plugin) as Bundle, {
        onReconnect: ({ code }) => {
          if (code === 'RATE_LIMITED') outcome.told += 1;
          else outcome.lost += 1;
        },
      }),
    );
    const now = await lookAt(root, plugin);
    if ('fault' in said) outcome.broken.push(`${plugin}: ${said.fault.code}: ${said.fault.message}`);
    else if (plugin === 'same') answers.push(said.answer as Installed);
    else outcome.broken.push(...untruths(before, now, said).map((line) => `${plugin}: ${line}`));
  };
  const began = performance.now();
  await Promise.all([...others, ...others.map(() => 'same')].map(one));
  outcome.millis = Math.round(performance.now() - began);
  const now = await lookAt(root, 'same');
  for (const answer of answers) {
    outcome.same[answer.status] = (outcome.same[answer.status] ?? 0) + 1;
    outcome.broken.push(...untruths(before, now, { answer }).map((line) => `same: ${line}`));
  }
  await until(() => {
    if (workIn(root).length > 0) throw new Error(`${workIn(root).join(', ')} is left`);
  });
  const status = readFileSync(`/proc/${agent.agent?.pid}/status`, 'utf8');
  outcome.peakMib = Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024);
  return outcome;
}
