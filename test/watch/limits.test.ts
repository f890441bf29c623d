/** What happens where the system cannot wake a watcher up, and that what it costs does not grow with the files. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';

import { systemFileEvents } from '../../watch/file-events.ts';
import type { FileEvents } from '../../watch/ports.ts';
import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';

const FILES = { 'plugin.yaml': yamlOf('lint'), 'skills/a/SKILL.md': 'one' };
const HOT = { kind: 'skill-content-only', skills: ['skills/a'] };

const failure = (code: string): Error => Object.assign(new Error(`${code}: no more`), { code });

for (const code of ['ENOSPC', 'EMFILE']) {
  test(`says so and polls when the system answers ${code}, at the start and later`, async () => {
    for (const whole of [1, 3]) {
      const layout = await makeRoot();
      await install(layout, 'lint', FILES);
      await install(layout, 'other', { ...FILES, 'plugin.yaml': yamlOf('other') });
      let opened = 0;
      const fileEvents: FileEvents = {
        open: (...args) => {
          opened += 1;
          if (opened <= whole) return systemFileEvents.open(...args);
          return { ready: Promise.reject(failure(code)), close: () => Promise.resolve() };
        },
      };
      const { notices, next, clock } = await watching(layout, { fileEvents });
      if (whole === 3) {
        await install(layout, 'third', { 'plugin.yaml': yamlOf('third') });
        expect(await next()).toMatchObject({ plugin: 'third' });
      }
      expect(notices).toEqual([
        expect.stringMatching(/^Watching falls back to polling: .*limit of file watches/),
      ]);
      for (const name of ['lint', 'other']) {
        await writeFile(join(layout.live(name), 'skills/a/SKILL.md'), 'two');
        clock.advance(1100);
        expect(await next()).toMatchObject({ plugin: name, ...HOT });
      }
      expect(notices).toHaveLength(1);
    }
  });
}

test('a directory that the system cannot watch is polled alone, and that is said once', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  await install(layout, 'other', { ...FILES, 'plugin.yaml': yamlOf('other') });
  let others = 0;
  const fileEvents: FileEvents = {
    open(directory, ...rest) {
      if (directory.endsWith('lint')) {
        return { ready: Promise.reject(failure('EACCES')), close: () => Promise.resolve() };
      }
      others += 1;
      return systemFileEvents.open(directory, ...rest);
    },
  };
  const { notices, next, rest, clock } = await watching(layout, { fileEvents });
  for (const name of ['lint', 'other']) {
    await writeFile(join(layout.live(name), 'skills/a/SKILL.md'), 'two');
    clock.advance(1100);
    expect(await next()).toMatchObject({ plugin: name, ...HOT });
  }
  await mkdir(join(layout.live('lint'), 'skills/b'));
  await rest();
  expect(notices).toEqual([
    expect.stringMatching(/^A directory cannot be watched and is polled instead: EACCES/),
  ]);
  expect(others).toBe(2);
});

test('a directory that is replaced or gone while its watch begins is no directory that cannot be watched', async () => {
  for (const isReplaced of [true, false]) {
    const layout = await makeRoot();
    await install(layout, 'lint', FILES);
    let begun = 0;
    const fileEvents: FileEvents = {
      open(directory, deep, ...rest) {
        if (!directory.endsWith('lint')) return systemFileEvents.open(directory, deep, ...rest);
        begun += 1;
        if (begun > 1) return systemFileEvents.open(directory, deep, ...rest);
        const vanish = async (): Promise<void> => {
          if (isReplaced) await install(layout, 'lint', { ...FILES, 'skills/a/SKILL.md': 'one of another' });
          throw failure('ENOENT');
        };
        return { ready: vanish(), close: () => Promise.resolve() };
      },
    };
    const { notices, next, rest } = await watching(layout, { fileEvents });
    await rest();
    expect(notices).toEqual([]);
    await writeFile(join(layout.live('lint'), 'skills/a/SKILL.md'), 'two');
    expect(await next()).toMatchObject({ plugin: 'lint', ...HOT });
    expect(begun).toBe(2);
  }
});

test('a root that is moved away while its watch begins is watched once it is there again', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  let begun = 0;
  const fileEvents: FileEvents = {
    open(directory, deep, ...rest) {
      if (deep !== false) return systemFileEvents.open(directory, deep, ...rest);
      begun += 1;
      if (begun > 1) return systemFileEvents.open(directory, deep, ...rest);
      const vanish = async (): Promise<void> => {
        await rename(layout.root, `${layout.root}.away`);
        throw failure('ENOENT');
      };
      return { ready: vanish(), close: () => Promise.resolve() };
    },
  };
  const { notices, next, rest } = await watching(layout, { fileEvents });
  await rest();
  await rename(`${layout.root}.away`, layout.root);
  expect(await next()).toMatchObject({ plugin: 'lint', status: 'admitted' });
  await writeFile(join(layout.live('lint'), 'skills/a/SKILL.md'), 'two');
  expect(await next()).toMatchObject({ plugin: 'lint', cause: { by: 'edit' } });
  expect(notices).toEqual([]);
  expect(begun).toBe(2);
});

test('eyes that fail while they watch are replaced by polling', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  let fail: (error: unknown) => void = () => undefined;
  const fileEvents: FileEvents = {
    open(directory, deep, tell, failed) {
      if (deep) fail = failed;
      return systemFileEvents.open(directory, deep, tell, failed);
    },
  };
  const { notices, next, rest, clock } = await watching(layout, { fileEvents });
  fail(failure('ENOSPC'));
  expect(await rest()).toEqual([]);
  expect(notices).toHaveLength(1);
  await writeFile(join(layout.live('lint'), 'skills/a/SKILL.md'), 'two');
  clock.advance(1100);
  expect(await next()).toMatchObject(HOT);
});

test('events that come faster than the system keeps them are not believed: everything is looked at', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  await install(layout, 'silent', { ...FILES, 'plugin.yaml': yamlOf('silent') });
  let flood: (path: string) => void = () => undefined;
  const fileEvents: FileEvents = {
    open(directory, deep, tell) {
      if (directory.endsWith('lint')) flood = tell;
      return { ready: Promise.resolve(), close: () => Promise.resolve() };
    },
  };
  const { next, rest } = await watching(layout, { fileEvents });
  await writeFile(join(layout.live('silent'), 'skills/a/SKILL.md'), 'two');
  expect(await rest()).toEqual([]);
  for (let i = 0; i < 5000; i += 1) flood(`data/${i}`);
  expect(await next()).toMatchObject({ plugin: 'silent', ...HOT });
});

/** A process that has few watches; prints its notices and its first event. */
const FEW = `
  import { createLoader } from './loader.mjs';
  import { writeFile } from 'node:fs/promises';
  const [root] = process.argv.slice(1);
  const notices = [];
  const watch = createLoader({ roots: [root] }).watch({ notice: (text) => notices.push(text) });
  await watch.ready;
  await writeFile(root + '/lint/skills/a/SKILL.md', 'two');
  for await (const { kind } of watch) {
    process.stdout.write(JSON.stringify({ notices, kind }));
    break;
  }
`;

test('a process whose watches are really used up polls and says so', async (ctx) => {
  const repository = fileURLToPath(new URL('../..', import.meta.url));
  const folder = await mkdtemp(join(tmpdir(), 'airlock-watch-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  const run = (command: string) =>
    promisify(execFile)('unshare', ['-Ur', 'sh', '-c', command], { timeout: 60_000 }).catch(String);
  const limit = '/proc/sys/user/max_inotify_watches';
  const can = await run(`echo 2 > ${limit} && cat ${limit}`);
  if (typeof can === 'string') ctx.skip(`no user namespace with a limit of its own: ${can.split('\n')[0]}`);
  await build({
    absWorkingDir: repository,
    entryPoints: ['loader/index.ts'],
    outfile: join(folder, 'loader.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    logLevel: 'silent',
  });
  await writeFile(join(folder, 'few.mjs'), FEW.replace('slice(1)', 'slice(2)'));
  const ended = await run(
    `echo 2 > ${limit} && exec "${process.execPath}" "${folder}/few.mjs" "${layout.root}"`,
  );
  expect(typeof ended === 'string' ? ended : JSON.parse(ended.stdout)).toEqual({
    notices: [expect.stringContaining('ENOSPC')],
    kind: 'skill-content-only',
  });
});
