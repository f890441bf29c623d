// A Node process that loads the loader and makes one, beside a process that does nothing.
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { compare, ratios, run, timed } from './measure.mjs';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const MAKE = `.createLoader({ roots: ['/configs/plugins'] })`;

/** Runs a script in a process of its own. */
const node = (type, script) => timed(() => run(process.execPath, [`--input-type=${type}`, '--eval', script]));

export async function measureImport(bench) {
  const module = JSON.stringify(pathToFileURL(path.join(dist, 'loader.mjs')).href);
  const file = JSON.stringify(path.join(dist, 'loader.cjs'));
  const times = await compare(
    {
      bare: () => node('commonjs', ''),
      imported: () => node('module', `import * as airlock from ${module}; airlock${MAKE};`),
      required: () => node('commonjs', `require(${file})${MAKE};`),
    },
    bench.options.rounds * 5,
  );
  const against = 'a bare Node process';
  bench.add({ what: 'import the loader', against, values: ratios(times.imported, times.bare) });
  bench.add({ what: 'require the loader', against, values: ratios(times.required, times.bare) });
}
