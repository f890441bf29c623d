import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createLoader } from '../../loader/index.ts';
import { Program, repository } from '../_kit/program.ts';
import { extractedByTar, liveTreeOf } from '../_kit/tree-snapshot.ts';

/** Real plugins may lie beside the repository; it does without them. */
const PLUGINS = join(repository, '..', 'shared', 'plugins');

let program: Program;

beforeAll(async () => {
  program = await Program.open();
  await program.serveHere();
});
afterAll(() => program.close());

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
      expect(await liveTreeOf(program.root, name)).toEqual(
        await extractedByTar(bundle, join(program.folder, `extracted-${name}`)),
      );
      expect(await program.json(['push', bundle])).toMatchObject({ status: 'present' });
    },
  );
});
