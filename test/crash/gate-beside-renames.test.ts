/** The gate while another process swaps two versions by renames, without the agent's order or its pauses. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { type GateAnswer, createLoader } from '../../loader/index.ts';
import { LATER, STAMP, install, makeRoot, writeIntent, yamlOf } from '../_kit/loader-root.ts';

/** Swaps two versions by renames until its standard input is closed; says so when it begins. */
const SWAPPER = `
  const { renameSync } = require('node:fs');
  const [live, aside, other] = process.argv.slice(1);
  let going = true;
  process.stdin.on('end', () => { going = false; }).resume();
  const swap = () => {
    renameSync(live, aside); renameSync(other, live); renameSync(aside, other);
    if (going) setTimeout(swap, 3);
  };
  process.stdout.write('ready');
  swap();
`;

test('while another process swaps two versions to and fro, nothing but one of the two is ever admitted, nor lost', async () => {
  const layout = await makeRoot();
  const version = (v: string): Record<string, string> => ({
    'plugin.yaml': yamlOf('lint').replace('1.2.3', v),
    [`rules/${v}.md`]: v,
  });
  const slot = layout.slot('lint', LATER);
  await install(layout, 'lint', version('1.0.0'));
  await install(layout, 'lint', version('2.0.0'), LATER, slot);
  await writeIntent(layout, 'lint');
  const child = spawn(
    process.execPath,
    ['-e', SWAPPER, layout.live('lint'), layout.snapshot('lint', LATER), slot],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  onTestFinished(() => void child.kill());
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const loader = createLoader({ roots: [layout.root], verify: 'stat' });
  const seen = new Map<string, number>();
  // Who swaps may get no processor for a while.
  for (let i = 0; i < 400 || seen.size < 2; i++) {
    const answer = i % 2 === 0 ? await loader.gate('lint') : await fromScan(loader);
    if (!answer.admitted) {
      // A busy machine may stretch a reading over twenty swaps; that is said, too.
      expect(answer).toMatchObject({
        reason: 'in-transition',
        detail: expect.stringContaining('changed again and again'),
      });
      continue;
    }
    const { generation, manifest, rules } = answer.plugin;
    const expected = generation === STAMP ? '1.0.0' : '2.0.0';
    expect([manifest?.version, rules]).toEqual([
      expected,
      [join(layout.live('lint'), `rules/${expected}.md`)],
    ]);
    seen.set(generation, (seen.get(generation) ?? 0) + 1);
  }
  child.stdin.end();
  await new Promise((resolve) => child.once('exit', resolve));
  expect([...seen.keys()].toSorted()).toEqual([STAMP, LATER]);
});

async function fromScan(loader: ReturnType<typeof createLoader>): Promise<GateAnswer> {
  const { admitted, refused } = await loader.scan();
  const [plugin] = admitted;
  if (plugin !== undefined) return { admitted: true, plugin, passedOver: [] };
  const [refusal] = refused;
  if (refusal === undefined) throw new Error('The scan lost the plugin');
  return refusal;
}
