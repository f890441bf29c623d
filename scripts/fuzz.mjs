// Throws altered archives, frames, manifests and markers at Airlock: `npm run fuzz -- --seconds 60 --seed 7`. The same
// seed makes the same cases; how many of them are reached depends on the machine.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

function options() {
  try {
    return parseArgs({
      options: { seconds: { type: 'string', default: '30' }, seed: { type: 'string' } },
      strict: true,
    }).values;
  } catch (error) {
    process.stderr.write(`${error.message}\nUsage: npm run fuzz -- [--seconds 60] [--seed 7]\n`);
    process.exit(2);
  }
}

const { seconds, seed = String(Date.now() % 1_000_000) } = options();
if (!/^\d{1,6}$/.test(seconds) || Number(seconds) === 0 || !/^\d{1,9}$/.test(seed)) {
  process.stderr.write(
    '--seconds and --seed take whole numbers\nUsage: npm run fuzz -- [--seconds 60] [--seed 7]\n',
  );
  process.exit(2);
}
const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
const run = spawnSync(process.execPath, [vitest, 'run', '--config', 'vitest.fuzz.config.ts'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, AIRLOCK_FUZZ_SECONDS: seconds, AIRLOCK_FUZZ_SEED: seed },
});
process.exitCode = run.status ?? 1;
