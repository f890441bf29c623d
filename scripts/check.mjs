// One command for everything that must be green: format, lint, types, dead code, tests. All of them are run, also
// after a red one, so that one run names every problem. `--static` leaves the tests out.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bin = path.join(root, 'node_modules', '.bin');

const steps = [
  ['format', path.join(bin, 'oxfmt'), ['--check'], 'run "npm run format"'],
  ['lint', path.join(bin, 'oxlint'), [], 'mend what is named above'],
  ['types', path.join(bin, 'tsc'), ['--noEmit'], 'mend what is named above'],
  ['dead code', path.join(bin, 'knip'), [], 'remove or use what is named above'],
];
if (!process.argv.includes('--static')) {
  steps.push(['build', process.execPath, ['scripts/build.mjs', '--quiet'], 'mend what is named above']);
  steps.push(['tests', path.join(bin, 'vitest'), ['run'], 'mend what is named above']);
}

const red = [];
const summary = [];
for (const [name, command, args, fix] of steps) {
  process.stdout.write(`\n== ${name}\n`);
  const started = performance.now();
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) process.stderr.write(`Starting "${command}" failed: ${error.message}\n`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (status !== 0) red.push(name);
  summary.push(
    `${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)${status === 0 ? '' : `: ${fix}`}`,
  );
}
process.stdout.write(`\n${summary.join('\n')}\n`);
process.stdout.write(`${steps.length - red.length} checks passed, ${red.length} failed\n`);
process.exitCode = red.length === 0 ? 0 : 1;
