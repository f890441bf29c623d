import { execFile } from 'node:child_process';
import { access, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { Program, repository } from '../_kit/program.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';

const run = promisify(execFile);
/** Real plugins may lie beside the repository; it does without them. */
const PLUGINS = join(repository, '..', 'shared', 'plugins');
/** Many small files, as a plugin with everything in it has. */
const LARGE = 'date-fns@4.1.0';

let program: Program;

beforeAll(async () => {
  program = await Program.open();
  await program.serve({ AIRLOCK_MAX_UNPACKED: '512M' });
});
afterAll(() => program.close());

/** What GNU tar makes of an archive is what must be live. */
async function extracted(bundle: string, name: string): Promise<Record<string, string>> {
  const to = join(program.folder, `extracted-${name}`);
  await mkdir(to);
  await run('tar', ['-xzf', bundle, '-C', to, '--no-same-owner', '--no-same-permissions']);
  return snapshotTree(to);
}

async function liveTree(name: string): Promise<Record<string, string>> {
  const { '.complete': _, ...files } = await snapshotTree(join(program.root, name));
  return files;
}

describe('real plugins', () => {
  it.for(['ecc', 'molecule-careful-bash', 'superpowers'])(
    '%s goes in and is admitted',
    async (name, context) => {
      const bundle = join(PLUGINS, `${name}.tgz`);
      const isThere = await access(bundle).then(
        () => true,
        () => false,
      );
      if (!isThere) context.skip(`there is no ${name}.tgz in ../shared/plugins`);
      expect(await program.json(['push', bundle])).toMatchObject({ status: 'installed', plugin: name });
      const answer = await createLoader({
        roots: [program.root],
        runtime: 'claude-code',
        verify: 'digest',
      }).gate(name);
      expect(answer).toMatchObject({ admitted: true, plugin: { level: 'verified' } });
      expect(await liveTree(name)).toEqual(await extracted(bundle, name));
      expect(await program.json(['push', bundle])).toMatchObject({ status: 'present' });
    },
  );
});

describe('a large package of the npm registry', () => {
  it(`${LARGE} goes in as npm packed it, and again as a directory`, { timeout: 180_000 }, async (context) => {
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
    const bundle = join(cache, file ?? '');
    const files = await extracted(bundle, 'large');
    const source = join(program.folder, 'extracted-large', 'package');
    await writeFile(join(source, 'plugin.yaml'), 'name: date-fns\nversion: 4.1.0\n');
    const answer = await program.json(['push', source]);
    expect(answer).toMatchObject({ status: 'installed', plugin: 'date-fns' });
    const live = await liveTree('date-fns');
    const paths = Object.keys(live).filter((path) => path !== 'plugin.yaml');
    expect(paths.length).toBeGreaterThan(2000);
    for (const path of paths) {
      expect(live[path]).toBe(files[`package/${path}`]);
    }
    // As npm packed it: everything below "package/", and no manifest that says what it is.
    const refused = await program.here(['push', bundle, '--name', 'date-fns', '--to', program.url]);
    expect(refused.stderr).toContain('MANIFEST_MISSING');
    expect(await liveTree('date-fns')).toEqual(live);
    expect(await readFile(join(program.root, 'date-fns', '.complete'), 'utf8')).toContain('"date-fns"');
  });
});
