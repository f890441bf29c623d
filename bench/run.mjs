// `npm run bench`: Airlock beside what people use today, interleaved, in one run, on tmpfs and on disk. It prints one table
// of ratios and says which bars are missed; a missed bar is no failure, because machines differ.
import { createBench } from './bench.mjs';
import { measureCurve } from './curves.mjs';
import { measureDelta } from './delta.mjs';
import { measureDocker } from './docker.mjs';
import { measureImport } from './import.mjs';
import { measureInstalls } from './install.mjs';
import { isInstalled } from './measure.mjs';
import { measureMemory } from './memory.mjs';
import { CURVES, PARTS, UsageError, help, readOptions } from './options.mjs';
import { measureReader } from './reader.mjs';
import { measureReconcile } from './reconcile.mjs';
import { saveResults } from './results.mjs';
import { measureScan } from './scan.mjs';
import { measureStart } from './start.mjs';
import { missedBars, textTable } from './table.mjs';
import { measureWatch } from './watch.mjs';

const MEASURES = {
  install: measureInstalls,
  delta: measureDelta,
  docker: measureDocker,
  memory: measureMemory,
  reader: measureReader,
  scan: measureScan,
  import: measureImport,
  start: measureStart,
  watch: measureWatch,
  reconcile: measureReconcile,
};

/** Measures the parts that were asked for, one after the other. */
async function measureTable(bench) {
  const parts = bench.options.only ?? PARTS;
  for (const part of PARTS.filter((name) => parts.includes(name))) {
    const from = bench.rows.length;
    const begun = performance.now();
    await MEASURES[part](bench);
    bench.say(`(${part}: ${((performance.now() - begun) / 1000).toFixed(0)} s)`);
    if (bench.options.save) await saveResults('parts', part, bench, { rows: bench.rows.slice(from) });
  }
  bench.say(`\n${textTable(bench.rows)}\n\n${missedBars(bench.rows)}`);
  bench.say(
    'The row of 1,000 agents is measured by test/crash/fleet.test.ts; docs/performance.md has its figures',
  );
}

async function measureCurves(bench) {
  for (const name of bench.options.only ?? CURVES) {
    const points = await measureCurve(bench, name);
    if (bench.options.save) await saveResults('curves', name, bench, { points });
  }
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(help());
    return;
  }
  if (process.platform !== 'linux') throw new UsageError('The benchmarks run on Linux only: they read /proc');
  if (!(await isInstalled('tar'))) {
    throw new UsageError(
      'GNU tar is missing, and the benchmarks compare with it: install it, then run them again',
    );
  }
  const bench = await createBench(options);
  const { node, cores, kernel, places } = bench.machine;
  bench.say(
    `Node ${node}, ${cores} cores, ${kernel}, ${Object.entries(places)
      .map((one) => one.join(': '))
      .join(', ')}`,
  );
  try {
    await (options.curves ? measureCurves(bench) : measureTable(bench));
  } finally {
    await bench.undo.all();
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\nSee npm run bench -- --help`);
  process.exitCode = 2;
}
