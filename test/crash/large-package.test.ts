/** A large package of the npm registry: many small files, as a plugin with everything in it has. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, it, onTestFinished } from 'vitest';

import { Program, repository } from '../_kit/program.ts';
import { extractedByTar, liveTreeOf } from '../_kit/tree-snapshot.ts';

const run = promisify(execFile);
const LARGE = 'date-fns@4.1.0';

it(`${LARGE} goes in as a directory, and is refused as npm packed it`, async (context) => {
  const cache = join(repository, 'node_modules', '.cache', 'airlock-test');
  await mkdir(cache, { recursive: true });
  let file = (await readdir(cache)).find((name) => name.startsWith('date-fns-'));
  if (file === undefined) {
    try {
      await run('npm', ['pack', LARGE, '--pack-destination', cache, '--silent'], { timeout: 60_000 });
    } catch (error) {
      context.skip(`${LARGE} cannot be had from the registry: ${String(error).slice(0, 200)}`);
    }
    file = (await readdir(cache)).find((name) => name.startsWith('date-fns-'));
  }
  const program = await Program.open();
  onTestFinished(() => program.close());
  await program.serve({ AIRLOCK_MAX_UNPACKED: '512M' });
  const bundle = join(cache, file ?? '');
  const extracted = join(program.folder, 'extracted');
  const files = await extractedByTar(bundle, extracted);
  const source = join(extracted, 'package');
  await writeFile(join(source, 'plugin.yaml'), 'name: date-fns\nversion: 4.1.0\n');
  const answer = await program.json(['push', source]);
  expect(answer).toMatchObject({ status: 'installed', plugin: 'date-fns' });
  const live = await liveTreeOf(program.root, 'date-fns');
  const paths = Object.keys(live).filter((path) => path !== 'plugin.yaml');
  expect(paths.length).toBeGreaterThan(2000);
  for (const path of paths) {
    expect(live[path]).toBe(files[`package/${path}`]);
  }
  // As npm packed it: everything below "package/", and no manifest that says what it is.
  const refused = await program.here(['push', bundle, '--name', 'date-fns', '--to', program.url]);
  expect(refused.stderr).toContain('MANIFEST_MISSING');
  expect(await liveTreeOf(program.root, 'date-fns')).toEqual(live);
  expect(await readFile(join(program.root, 'date-fns', '.complete'), 'utf8')).toContain('"date-fns"');
});
