/** Bundles the engine thread once for a run of vitest, so that tests can start an agent in their own process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of the bundle that runs as engine thread. */
    workerFile: string;
  }
}

const requireShim = [
  "import { createRequire as airlockCreateRequire } from 'node:module';",
  'const require = airlockCreateRequire(import.meta.url);',
].join('\n');

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'airlock-worker-'));
  const outfile = join(directory, 'worker.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('worker-entry.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    banner: { js: requireShim },
    logLevel: 'warning',
  });
  provide('workerFile', new URL(`file://${outfile}`).href);
  return () => rm(directory, { recursive: true, force: true });
}
