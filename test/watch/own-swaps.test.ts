/** Versions that the watcher expects: it is told of them before their swap, and reads nothing that nobody has touched since. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { type FileEntry, createIgnore } from '../../shared/format/tree.ts';
import { systemFileEvents } from '../../watch/file-events.ts';
import { pollingFileEvents } from '../../watch/poll.ts';
import type { FileEvents, Installed, WatchEvent } from '../../watch/ports.ts';
import { readPath } from '../../watch/read-path.ts';
import { createWatch } from '../../watch/watch.ts';
import { scratch } from '../_kit/agent.ts';
import { FakeClock } from '../_kit/clock.ts';
import { until } from '../_kit/until.ts';

const SKILL = 'skills/a/SKILL.md';
const DIRECTORIES = ['skills', 'skills/a', 'data'];
const PATHS = [SKILL, ...Array.from({ length: 50 }, (_, i) => `data/file-${i}`)];

/** A watched root with the version "1" of the plugin "lint". */
async function watched(fileEvents = systemFileEvents) {
  const root = await scratch();
  const live = join(root, 'lint');
  const clock = new FakeClock();
  const receipts = new Map<string, Installed>();
  /** The paths that were read; '' for the whole tree. */
  const read: string[] = [];
  let installId = '1';
  const stage = async (id: string): Promise<string> => {
    const directory = join(root, '.staging', id);
    const files: FileEntry[] = [];
    for (const path of PATHS) {
      const text = path === SKILL ? `skill ${id}` : path;
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), text, { mode: 0o644 });
      const sha256 = createHash('sha256').update(text).digest('hex');
      files.push({ path, size: text.length, mode: '644', sha256 });
    }
    await writeFile(join(directory, '.complete'), '{}');
    receipts.set(id, { files, at: Date.now() });
    return directory;
  };
  const swap = async (id: string): Promise<void> => {
    await rename(live, join(root, `.previous-${id}`)).catch(() => undefined);
    await rename(join(root, '.staging', id), live);
    installId = id;
  };
  await stage('1');
  await swap('1');
  const watch = createWatch({
    roots: [root],
    admit: () =>
      Promise.resolve({
        status: 'admitted',
        path: live,
        generation: installId,
        installId,
        hotReload: undefined,
      }),
    installed: (_path, id) => Promise.resolve(receipts.get(id)),
    ignore: createIgnore(),
    clock,
    readPath: (...asked) => {
      read.push(asked[1]);
      return readPath(...asked);
    },
    fileEvents,
    polling: pollingFileEvents(clock),
    notice: (text) => expect(text).toBe(''),
  });
  onTestFinished(() => watch.close());
  await watch.ready;
  const told: WatchEvent[] = [];
  const reading = (async () => {
    for await (const event of watch) told.push(event);
  })();
  reading.catch(() => undefined);
  /** Lets bursts settle until so many events were told. */
  const events = async (count: number): Promise<WatchEvent[]> => {
    await until(() => {
      clock.advance(300);
      expect(told).toHaveLength(count);
    });
    return told.splice(0);
  };
  const expected = async (id: string): Promise<void> =>
    watch.expect('lint', { installId: id, directory: await stage(id), directories: DIRECTORIES });
  read.splice(0);
  return { root, live, watch, read, stage, swap, events, expected };
}

const hot = (by: object) => ({ kind: 'skill-content-only', skills: ['skills/a'], cause: by });

test('a version that is expected is one event, and none of its files is read', async () => {
  const { read, swap, events, expected } = await watched();
  for (const installId of ['2', '3']) {
    await expected(installId);
    await swap(installId);
    expect(await events(1)).toMatchObject([hot({ by: 'swap', installId })]);
  }
  expect(read).toEqual([]);
});

test('of such a version only what is edited is read, whether during the swap or later, and the edit is told', async () => {
  const { live, read, swap, events, expected } = await watched();
  await expected('2');
  await swap('2');
  await writeFile(join(live, 'data/file-7'), 'by hand');
  const [event] = await events(1);
  expect(event).toMatchObject({ kind: 'cold', cause: { by: 'swap', installId: '2' } });
  expect(event?.reasons.map(({ path }) => path)).toEqual(['data/file-7', SKILL]);
  await chmod(join(live, 'data/file-8'), 0o755);
  const [later] = await events(1);
  expect(later?.cause).toEqual({ by: 'edit' });
  expect(later?.reasons.map(({ path }) => path)).toContain('data/file-8');
  await mkdir(join(live, 'new'));
  await writeFile(join(live, 'new/file'), '');
  const [last] = await events(1);
  expect(last?.reasons.map(({ path }) => path)).toContain('new/file');
  expect(new Set(read.slice(0, 2))).toEqual(new Set(['data/file-7', 'data/file-8']));
});

test('what is expected and does not come, comes too early or is another version is read as any other', async () => {
  const { root, live, watch, read, stage, swap, events, expected } = await watched();
  await expected('2');
  await watch.expect('lint', undefined);
  await swap('2');
  expect(await events(1)).toMatchObject([hot({ by: 'swap', installId: '2' })]);
  expect(read).toEqual(['']);
  const directory = await stage('3');
  await swap('3');
  await watch.expect('lint', { installId: '3', directory, directories: DIRECTORIES });
  expect(await events(1)).toMatchObject([hot({ by: 'swap', installId: '3' })]);
  await expected('4');
  await rm(join(root, '.staging/4'), { recursive: true });
  await stage('5');
  await swap('5');
  await writeFile(join(live, 'data/file-7'), 'by hand');
  expect((await events(1))[0]?.reasons.map(({ path }) => path)).toEqual(['data/file-7', SKILL]);
  expect(read.filter((path) => path === '').length).toBeGreaterThanOrEqual(3);
});

/** File events of the system. Those of a staged tree can be lost. */
function losing() {
  const staged = { isDeaf: false, fail: (): void => undefined, hear: (): void => undefined };
  const fileEvents: FileEvents = {
    movesAlong: true,
    open: (directory, deep, onPath, onError) => {
      const isStaged = directory.includes('.staging');
      if (isStaged) staged.fail = () => onError(new Error('lost'));
      else staged.hear = () => onPath('__pycache__/x');
      const told = (path: string | undefined): void => (isStaged && staged.isDeaf ? undefined : onPath(path));
      return systemFileEvents.open(directory, deep, told, onError);
    },
  };
  return { staged, fileEvents };
}

test.each([
  ['its watch fails', ({ fail }: { fail: () => void }) => fail()],
  [
    'there are so many events that the system may have dropped some',
    ({ hear }: { hear: () => void }) => {
      for (let i = 0; i < 5000; i += 1) hear();
    },
  ],
])('what is expected is read if %s before the watcher sees it', async (_what, lose) => {
  const { staged, fileEvents } = losing();
  const { live, read, swap, events, expected } = await watched(fileEvents);
  await expected('2');
  staged.isDeaf = true;
  await swap('2');
  await writeFile(join(live, 'data/file-7'), 'by hand');
  lose(staged);
  const [event] = await events(1);
  expect(event?.reasons.map(({ path }) => path)).toEqual(['data/file-7', SKILL]);
  expect(read).toContain('');
  await chmod(join(live, 'data/file-8'), 0o755);
  expect((await events(1))[0]?.reasons.map(({ path }) => path)).toContain('data/file-8');
});

test('nothing is expected where a watch stays at the path of a directory that is moved', async () => {
  const opened: string[] = [];
  const { read, swap, events, expected } = await watched({
    open: (...asked) => {
      opened.push(asked[0]);
      return systemFileEvents.open(...asked);
    },
  });
  await expected('2');
  await swap('2');
  expect(await events(1)).toMatchObject([hot({ by: 'swap', installId: '2' })]);
  expect(opened.filter((path) => path.includes('.staging'))).toEqual([]);
  expect(read).toEqual(['']);
});
