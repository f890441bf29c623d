/**
 * Commands that keep house, through an agent and without one; bad words; what people see. Both ways lead to the same
 * methods, so what a method does with its parameters is asked one way only.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { recoveryResultSchema, statusSchema, sweptSchema } from '../../shared/api/maintenance.ts';
import { Program, repository } from '../_kit/program.ts';
import { WAYS, inProcess, makeScene, settled } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';

vi.setConfig({ testTimeout: 120_000 });

/** A runtime that is killed when its report is written, and before that gets its name. */
async function killedReporting(root: string, loadedDir: string, generation: string): Promise<void> {
  const loader = pathToFileURL(join(repository, 'dist/loader.mjs')).href;
  const script = `
    import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    fs.rename = () => process.kill(process.pid, 'SIGKILL');
    syncBuiltinESMExports();
    const { createLoader } = await import(${JSON.stringify(loader)});
    await createLoader(${JSON.stringify({ roots: [root], loadedDir })}).loaded('lint', ${JSON.stringify(generation)});`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' });
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
}

describe('airlock recover, sweep and status', () => {
  it.each(WAYS)('find nothing to do on a tidy root, and say so in their own shapes, %s', async (way) => {
    const scene = await makeScene(way);
    const nothing = { items: [], total: 0 };
    expect(recoveryResultSchema.parse(await scene.said(['recover']))).toEqual({
      recovered: nothing,
      busy: nothing,
      failed: nothing,
    });
    expect(sweptSchema.parse(await scene.said(['sweep']))).toMatchObject({
      snapshots: nothing,
      failed: nothing,
    });
    const status = await scene.said(['status']);
    const plugins = { admitted: 1, refused: 0, pending: 0, promised: 0, drifted: 0 };
    const root = { root: scene.program.root, operations: nothing, plugins };
    expect(status).toMatchObject({ ...root, troubles: nothing });
    if (way === 'on the root') {
      const own = statusSchema.omit({
        agent: true,
        workspace: true,
        bootId: true,
        startedAt: true,
        watch: true,
        restart: true,
      });
      expect(own.strict().parse(status)).toEqual(status);
    } else {
      expect(statusSchema.strict().parse(status)).toMatchObject({ workspace: null, restart: null });
    }
  });

  it('clear away what a crash has left, and an empty marker becomes a full one', async () => {
    const scene = await makeScene('through an agent');
    const { root } = scene.program;
    const stamp = '20260101T000000000Z-9f86d081';
    const slot = join(root, '.staging', `lint.${stamp}`);
    await mkdir(slot);
    await writeFile(join(slot, 'half'), 'half');
    const row = { plugin: 'lint', stamp };
    expect(await scene.said(['recover'])).toMatchObject({ recovered: { items: [row], total: 1 } });
    expect(await scene.said(['recover', 'lint'])).toMatchObject({ recovered: { total: 0 } });
    await mkdir(slot);
    await mkdir(join(root, 'touched'));
    await writeFile(join(root, 'touched', 'plugin.yaml'), 'name: touched\nversion: 1.0.0\n');
    await writeFile(join(root, 'touched', '.complete'), '');
    expect(await scene.said(['sweep'])).toMatchObject({
      recovered: { items: [row], total: 1 },
      adopted: { items: ['touched'], total: 1 },
      failed: { total: 0 },
    });
    expect(await readFile(join(root, 'touched', '.complete'), 'utf8')).toContain('"installId"');
    await settled(scene);
  });

  it.each(WAYS)(
    'clear away, an hour later, what is left of a runtime killed while it reports, %s',
    async (way) => {
      const { program, said, ids } = await makeScene(way);
      // Without an agent the directory of the reports may be given.
      const given = way === 'on the root' ? join(program.folder, 'loaded') : undefined;
      const place = given ?? join(program.root, '.loaded');
      await killedReporting(program.root, place, ids[0] ?? '');
      await writeFile(join(place, 'notes.tmp'), 'of the runtime');
      const [draft = '', ...others] = (await readdir(place)).toSorted();
      expect([draft, others]).toEqual([expect.stringMatching(/^\.lint\..*\.tmp$/), ['notes.tmp']]);
      const words = ['sweep', ...(given === undefined ? [] : ['--loaded-dir', given])];
      await said(words);
      expect(await readdir(place)).toHaveLength(2);
      const before = new Date(Date.now() - 61 * 60 * 1000);
      for (const name of [draft, ...others]) await utimes(join(place, name), before, before);
      await said(words);
      expect(await readdir(place)).toEqual(['notes.tmp']);
    },
  );

  it('show a trouble with exit code 1, until an install resolves it', async () => {
    const scene = await makeScene('through an agent');
    const trouble = {
      at: '2026-05-08T14:15:30.123Z',
      operationId: 'operation-0',
      what: 'It broke',
      todo: 'Mend it',
    };
    await writeFile(join(scene.program.root, '.state', 'lint.json'), JSON.stringify({ version: 1, trouble }));
    for (let again = 0; again < 2; again += 1) {
      expect(await scene.said(['status'], 1)).toMatchObject({
        troubles: { items: [{ plugin: 'lint', ...trouble }], total: 1 },
      });
      await scene.said(['sweep']);
    }
    await scene.push(0);
    await until(async () => expect(await scene.said(['status'])).toMatchObject({ troubles: { total: 0 } }));
  });

  it('refuse what is no name, no id and no root', async () => {
    const scene = await makeScene('on the root', [0]);
    const bad = ['../lint', 'Lint', '.agent', 'a..b', 'x'.repeat(129), '-'];
    const wrong = bad.flatMap((name) => ['rollback', 'uninstall', 'recover'].map((word) => [word, name]));
    wrong.push(
      ['rollback', 'lint', '--version', 'yesterday'],
      ['rollback', 'lint', '--operation', '../x'],
      ['uninstall', 'lint', '--expect', 'yesterday'],
      ['rollback'],
      ['status', 'lint'],
      ['restarted', 'lint'],
      ['restarted', '--operation', '../x'],
      ['sweep', '--forc'],
    );
    for (const words of wrong) {
      const { code, text } = await inProcess([...words, ...scene.target, '--json']);
      expect([words, code]).toEqual([words, 2]);
      expect(text).toContain('"code":"INVALID_PARAMS"');
      expect(text).toContain('what to do:');
    }
    expect(await scene.live()).toEqual({ kind: 'version', number: 1 });
  });
});

it.each(['rollback lint', 'uninstall lint', 'restarted', 'recover', 'sweep', 'status'])(
  'airlock %s makes no root that is not there',
  async (words) => {
    const program = await Program.open();
    onTestFinished(() => program.close());
    const { code, stdout } = await program.here([...words.split(' '), '--root', program.root, '--json']);
    expect([code, JSON.parse(stdout)]).toMatchObject([1, { error: { code: 'NOT_FOUND' } }]);
    expect(await readdir(program.folder)).toEqual([]);
  },
);

describe('on a terminal', () => {
  it('every command ends with a clear line', async () => {
    const scene = await makeScene('on the root');
    const { root } = scene.program;
    const shown = async (...words: string[]): Promise<string> => {
      const { code, text } = await inProcess([...words, '--root', root]);
      return `${code} ${text}`;
    };
    expect(await shown('rollback', 'lint')).toMatch(
      /^0 rolled back {2}lint 1\.0\.1 is live again, instead of 1\.0\.2 \(6 files, .*restart\)\n$/,
    );
    expect(await shown('uninstall', 'lint', '--no-restart')).toMatch(
      /^0 {3}hooks {3}hooks\/run\.sh\nremoved {2}lint is gone \(it was .*; needs a restart, which was suppressed\)\n$/,
    );
    expect(await shown('rollback', 'lint')).toMatch(/^0 rolled back {2}lint .*; needs a restart\)\n$/);
    expect(await shown('uninstall', 'lint')).toMatch(/\nremoved {2}lint .*; needs a restart\)\n$/);
    expect(await shown('uninstall', 'lint')).toBe('0 absent  There is no lint here\n');
    expect(await shown('recover')).toBe('0 There was nothing to recover\n');
    expect(await shown('sweep')).toMatch(/\nswept {6}removed |^0 swept {6}removed /);
    expect(await shown('status')).toMatch(/^0 No operator is needed\n/);
    const trouble = {
      at: '2026-05-08T14:15:30.123Z',
      operationId: 'operation-0',
      what: 'It\u001B[2J broke',
      todo: 'Mend it',
    };
    await writeFile(join(root, '.state', 'lint.json'), JSON.stringify({ version: 1, trouble }));
    const troubled = await shown('status');
    expect(troubled).toMatch(/^1 An operator is needed for 1 plugin\n.*\n {2}what to do: Mend it\n$/s);
    expect(troubled).not.toContain('\u001B');
    await mkdir(join(scene.program.folder, 'image'));
    await writeFile(join(scene.program.folder, 'image', 'bad.tgz'), 'bad');
    expect(await shown('boot', join(scene.program.folder, 'image'))).toMatch(
      /^1 failed .*\n1 bundle: 0 installed, 0 left as they are, 1 failed\n$/,
    );
  });
});
