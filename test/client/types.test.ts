/** The types of the package, as a project sees them that has installed nothing but its dependencies. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, it } from 'vitest';
import * as z from 'zod';

import { scratch } from '../_kit/agent.ts';
import { repository } from '../_kit/program.ts';

const USES = `
import { openSession } from 'airlock/client';
import { createLoader } from 'airlock/loader';
import { classify } from 'airlock/protocol';
export const kinds: string[] = [typeof openSession, typeof createLoader, classify(undefined, []).kind];
`;

it('need no types of anything else, also where those of libraries are checked', async () => {
  const folder = await scratch();
  const installed = join(folder, 'node_modules');
  const own = join(repository, 'node_modules');
  const manifest = await readFile(join(repository, 'package.json'), 'utf8');
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(manifest));
  await mkdir(join(installed, '@types'), { recursive: true });
  await cp(join(repository, 'dist'), join(installed, 'airlock/dist'), { recursive: true });
  await writeFile(join(installed, 'airlock/package.json'), manifest);
  for (const name of [...Object.keys(dependencies), '@types/node', 'undici-types']) {
    await symlink(join(own, name), join(installed, name));
  }
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  await writeFile(join(folder, 'uses.ts'), USES);
  const compiler = join(own, 'typescript/bin/tsc');
  const options =
    '--noEmit --strict --skipLibCheck false --target es2023 --types node --preserveSymlinks --module';
  for (const module of ['node16', 'nodenext']) {
    const run = promisify(execFile)(process.execPath, [compiler, ...options.split(' '), module, 'uses.ts'], {
      cwd: folder,
    });
    expect(await run.catch((error: unknown) => error)).toMatchObject({ stdout: '' });
  }
});
