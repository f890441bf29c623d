import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { admissionOf } from '../../agent/store/inspect.ts';
import { createLoader } from '../../loader/index.ts';
import { until } from '../_kit/until.ts';
import { makeRoom } from '../_kit/install-room.ts';

test('agent and loader give a version without an installId one generation, and both another one once its marker is touched', async () => {
  const { context, layout } = makeRoom({}, nodeDisk);
  const live = layout.live('lint');
  mkdirSync(live);
  writeFileSync(join(live, 'plugin.yaml'), 'name: lint\nversion: 1.0.0\ndescription: x\n');
  writeFileSync(join(live, '.complete'), '');
  const loader = createLoader({ roots: [layout.root] });
  const generations = async (): Promise<(string | undefined)[]> => {
    const answer = await loader.gate('lint');
    const admission = admissionOf(context, 'lint');
    return [
      answer.admitted ? answer.plugin.generation : undefined,
      admission.status === 'admitted' ? admission.generation : undefined,
    ];
  };
  const [gate, agent] = await generations();
  expect(gate).toMatch(/^dir-\d+-\d+-\d+$/);
  expect(agent).toBe(gate);
  await until(async () => {
    utimesSync(join(live, '.complete'), new Date(), new Date());
    const [now, same] = await generations();
    expect(now).not.toBe(gate);
    expect(same).toBe(now);
  });
});
