/** The loader as others get it: packed, installed into a fresh project, imported, required and compiled against. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';
import * as z from 'zod';

import { scratch } from '../_kit/agent.ts';
import { install, makeRoot } from '../_kit/loader-root.ts';
import { repository } from '../_kit/program.ts';

const run = promisify(execFile);
const lockSchema = z.object({
  packages: z.record(z.string(), z.object({ dev: z.boolean().optional(), optional: z.boolean().optional() })),
});
const packedSchema = z.tuple([
  z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) }),
]);

/** The packages of the registry that the package needs, as they lie here: so nothing is fetched. */
async function packagesHere(): Promise<Record<string, string>> {
  const { packages } = lockSchema.parse(
    JSON.parse(await readFile(join(repository, 'package-lock.json'), 'utf8')),
  );
  const needed = Object.entries(packages).filter(
    ([place, { dev, optional }]) => /^node_modules\/(?!.*\/node_modules\/)/.test(place) && !dev && !optional,
  );
  return Object.fromEntries(
    needed.map(([place]) => [place.slice('node_modules/'.length), `file:${join(repository, place)}`]),
  );
}

const IMPORTS = `
import { createLoader, Fault, type Plugin } from 'airlock/loader';
const loader = createLoader({ roots: [process.argv[2] ?? ''], runtime: 'claude-code' });
const { admitted } = await loader.scan();
export const versions: (string | undefined)[] = admitted.map((plugin: Plugin) => plugin.manifest?.version);
export const isFault = (error: unknown): error is Fault => error instanceof Fault;
`;
const REQUIRES = `
import loading = require('airlock/loader');
import { createLoader, type Plugin } from 'airlock/loader';
const loader: loading.Loader = createLoader({ roots: ['/configs/plugins'] });
export const names = async (): Promise<string[]> => (await loader.scan()).admitted.map((plugin: Plugin) => plugin.name);
`;
const WRONG = `createLoader({ roots: '/configs/plugins' });\n`;
const SCAN = `.scan().then(({ admitted }) => console.log(admitted.map(({ name }) => name).join()))`;

test('the loader works from the packed package, by import and by require, and is typed for both', async () => {
  const folder = await scratch();
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: repository,
  });
  const [{ filename, files }] = packedSchema.parse(JSON.parse(stdout));
  expect(files.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['dist/loader.mjs', 'dist/loader.cjs', 'dist/libraries.LEGAL.txt', 'LICENSE']),
  );

  const project = join(folder, 'project');
  await mkdir(project);
  const dependencies = { airlock: `file:${join(folder, filename)}` };
  const manifest = { name: 'project', private: true, dependencies, overrides: await packagesHere() };
  await writeFile(join(project, 'package.json'), JSON.stringify(manifest));
  await run('npm', ['install', '--offline', '--omit=optional', '--ignore-scripts'], { cwd: project });

  await writeFile(join(project, 'imports.mts'), IMPORTS);
  await writeFile(join(project, 'requires.cts'), REQUIRES);
  await writeFile(join(project, 'wrong.mts'), `${IMPORTS}${WRONG}`);
  await writeFile(join(project, 'wrong.cts'), `${REQUIRES}${WRONG}`);
  await mkdir(join(project, 'node_modules/@types'), { recursive: true });
  for (const types of ['@types/node', 'undici-types']) {
    await symlink(join(repository, 'node_modules', types), join(project, 'node_modules', types));
  }
  const tsc = async (module: string, resolution: string, ...sources: string[]): Promise<void> => {
    const rules = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
    const how = [
      '--target',
      'es2022',
      '--module',
      module,
      '--moduleResolution',
      resolution,
      '--types',
      'node',
    ];
    const compiler = join(repository, 'node_modules/typescript/bin/tsc');
    await run(process.execPath, [compiler, ...rules, ...how, ...sources], { cwd: project });
  };
  await tsc('node16', 'node16', 'imports.mts', 'requires.cts');
  await tsc('esnext', 'bundler', 'imports.mts');
  await expect(tsc('node16', 'node16', 'wrong.mts', 'wrong.cts')).rejects.toMatchObject({
    stdout: expect.stringMatching(/^wrong\.cts.*TS2322[^]*^wrong\.mts.*TS2322/m) as unknown,
  });

  // It contains what it needs to run.
  for (const name of ['zod', 'yaml', 'ws', 'tar', 'pino', 'ignore', 'yauzl']) {
    await rm(join(project, 'node_modules', name), { recursive: true });
  }
  const layout = await makeRoot();
  for (const name of ['lint', 'other']) await install(layout, name);
  const options = JSON.stringify({ roots: [layout.root] });
  const scripts = {
    'scan.mjs': `import { createLoader } from 'airlock/loader';\ncreateLoader(${options})${SCAN};\n`,
    'scan.cjs': `require('airlock/loader').createLoader(${options})${SCAN};\n`,
  };
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(join(project, name), text);
    const flags = ['--no-experimental-require-module', name];
    expect((await run(process.execPath, flags, { cwd: project })).stdout).toBe('lint,other\n');
  }
});
