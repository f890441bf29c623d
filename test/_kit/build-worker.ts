/** Bundles the engine thread once for a run of vitest, so that tests can start an agent in their own process. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Script } from 'node:vm';

import { build } from 'esbuild';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of the bundle that runs as engine thread. */
    workerFile: string;
  }
}

/** Runs the bundle beside it, from what V8 has kept of compiling it: that is a third of what a thread costs to start. */
const LOADER = `
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const file = require.resolve('./worker.js');
const kept = readFileSync(file + '.cache');
const script = new Script(readFileSync(file, 'utf8'), { filename: file, cachedData: kept });
script.runInThisContext()(require, file);
`;

/** The bundle as the body of a function, so that what is compiled does not depend on where it runs. */
const WRAPPER = {
  banner:
    "(function (require, __filename) { const fileUrl = require('node:url').pathToFileURL(__filename).href;",
  footer: '})',
};

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'airlock-worker-'));
  const [bundle, outfile] = [join(directory, 'worker.js'), join(directory, 'worker.cjs')];
  await build({
    entryPoints: [fileURLToPath(new URL('worker-entry.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    define: { 'import.meta.url': 'fileUrl' },
    banner: { js: WRAPPER.banner },
    footer: { js: WRAPPER.footer },
    logLevel: 'warning',
  });
  await writeFile(outfile, LOADER);
  await writeFile(`${bundle}.cache`, await compiled(bundle));
  provide('workerFile', pathToFileURL(outfile).href);
  return () => rm(directory, { recursive: true, force: true });
}

/** What V8 keeps of a bundle, with all that its start needs. */
async function compiled(bundle: string): Promise<Buffer> {
  const script = new Script(await readFile(bundle, 'utf8'), { filename: bundle });
  const start = script.runInThisContext() as (require: NodeJS.Require, file: string) => void;
  // Here is no thread, which it says when all of it is loaded.
  try {
    start(createRequire(bundle), bundle);
  } catch (error) {
    if (!String(error).includes('only as a thread')) throw error;
  }
  return script.createCachedData();
}
