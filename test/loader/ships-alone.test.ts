import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rename, rm } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { type BuildResult, build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';

import { LATER, install, makeRoot } from '../_kit/loader-root.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

const bundle = (outfile: string): Promise<BuildResult<{ metafile: true }>> =>
  build({
    absWorkingDir: repository,
    entryPoints: ['loader/index.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    metafile: true,
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'silent',
  });

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'airlock-loader-bundle-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test('importing the loader pulls in loader/, shared/, watch/, zod and yaml, and nothing else: no ws, tar or pino', async () => {
  const { metafile } = await bundle(join(await temporary(), 'loader.mjs'));
  const sources = Object.keys(metafile.inputs).map(
    (path) => /^(?:node_modules\/)?[^/]+\//.exec(path)?.[0] ?? path,
  );
  expect(new Set(sources)).toEqual(
    new Set(['loader/', 'shared/', 'watch/', 'node_modules/zod/', 'node_modules/yaml/']),
  );
  const external = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  const packages = Object.values(metafile.outputs).flatMap(({ imports }) =>
    imports.filter(({ path }) => !isBuiltin(path)).map(({ path, kind }) => ({ path, kind })),
  );
  expect(packages).toEqual([]);
  expect(
    external.filter((path) => /\b(?:net|tls|https?|http2|dgram|zlib|child_process)$/.test(path)),
  ).toEqual([]);
});

/** The runtime under a uid of its own, to which `.staging` and `.previous` (0700) are closed. */
const RUNTIME = `
  import { once } from 'node:events';
  import { createLoader } from './loader.mjs';
  const [root, name] = process.argv.slice(1);
  const later = globalThis.setTimeout;
  globalThis.setTimeout = (call, ...all) => {
    globalThis.setTimeout = later;
    process.stdout.write('waits');
    if (name !== 'back') return later(call, ...all);
    // However busy the machine is: it waits until the swap is over.
    const forever = later(() => undefined, 600_000);
    once(process.stdin, 'data').then(() => call());
    return forever;
  };
  const began = performance.now();
  const loader = createLoader({ roots: [root] });
  const gate = await loader.gate(name);
  const millis = performance.now() - began;
  process.stdout.write(JSON.stringify({ gate, millis, scan: await loader.scan() }));
`;

test('a runtime that may not read .staging waits a moment for what may be in the middle of a swap', async (ctx) => {
  if (process.getuid?.() !== 0) ctx.skip('only root can start a process as another user');
  const directory = await temporary();
  await bundle(join(directory, 'loader.mjs'));
  const layout = await makeRoot();
  for (const open of [directory, dirname(layout.root)]) await chmod(open, 0o755);
  await install(layout, 'lint');
  await install(layout, 'closed');
  await chmod(layout.live('closed'), 0o700);
  const run = async (name: string): Promise<{ gate: object; millis: number; scan: object }> => {
    const args = [
      '--input-type=module',
      '-e',
      RUNTIME.replace('./loader.mjs', join(directory, 'loader.mjs')),
      '--',
    ];
    const options = { uid: 65_534, gid: 65_534, cwd: '/' };
    const child = promisify(execFile)(process.execPath, [...args, layout.root, name], options);
    const comeBack = async (): Promise<void> => {
      await rename(layout.snapshot('back', LATER), layout.live('back'));
      child.child.stdin?.end('it is back');
    };
    child.child.stdout?.once('data', () => {
      if (name === 'back') void comeBack();
    });
    return JSON.parse((await child).stdout.replace(/^waits/, '')) as {
      gate: object;
      millis: number;
      scan: object;
    };
  };
  expect(await run('lint')).toMatchObject({
    gate: { admitted: true },
    scan: { admitted: [{ name: 'lint' }], refused: [{ name: 'closed', reason: 'unreadable' }] },
  });
  const absent = await run('absent');
  expect(absent.gate).toMatchObject({ reason: 'not-a-directory' });
  expect(absent.millis).toBeGreaterThan(90);
  await install(layout, 'back', undefined, LATER);
  await rename(layout.live('back'), layout.snapshot('back', LATER));
  expect(await run('back')).toMatchObject({ gate: { admitted: true } });
});
