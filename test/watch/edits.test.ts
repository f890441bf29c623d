import {
  chmod,
  copyFile,
  mkdir,
  open,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';

import { setTimeout as pause } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import type { FileEvents } from '../../watch/ports.ts';
import { install, makeRoot, yamlOf } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';

const FILES = {
  'plugin.yaml': yamlOf('lint'),
  'skills/review/SKILL.md': 'one',
  'skills/review/notes.md': 'notes',
  'skills/write/SKILL.md': 'two',
  'hooks/run.sh': '#!/bin/sh\n',
};
const SKILL = 'skills/review/SKILL.md';

async function room(how: Parameters<typeof watching>[1] = {}) {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  const seen = await watching(layout, how);
  return { layout, live: (path: string) => join(layout.live('lint'), path), ...seen };
}

const HOT = { plugin: 'lint', kind: 'skill-content-only', skills: ['skills/review'], cause: { by: 'edit' } };

/** How editors save a file. */
const SAVES: Record<string, (path: string, text: string) => Promise<void>> = {
  'write in place': (path, text) => writeFile(path, text),
  'a temporary file and a rename': async (path, text) => {
    await writeFile(`${path}.tmp`, text);
    await rename(`${path}.tmp`, path);
  },
  'a backup file, then a new file': async (path, text) => {
    await rename(path, `${path}~`);
    await writeFile(path, text);
  },
  'truncate, then write': async (path, text) => {
    await truncate(path);
    const file = await open(path, 'r+');
    await file.write(text);
    await file.close();
  },
  'as vim does: 4913, a swap file, a backup that is removed': async (path, text) => {
    const folder = join(path, '..');
    await writeFile(join(folder, '4913'), '');
    await unlink(join(folder, '4913'));
    await writeFile(join(folder, '.SKILL.md.swp'), 'swap');
    await rename(path, `${path}~`);
    await writeFile(path, text);
    await unlink(`${path}~`);
    await unlink(join(folder, '.SKILL.md.swp'));
  },
  'an atomic save: a copy beside it, the old one removed': async (path, text) => {
    await copyFile(path, `${path}.sb-1234`);
    await writeFile(`${path}.sb-1234`, text);
    await unlink(path);
    await rename(`${path}.sb-1234`, path);
  },
};

for (const polling of [false, true]) {
  describe(polling ? 'polling' : 'woken up by the system', () => {
    for (const [how, save] of Object.entries(SAVES)) {
      test(`a skill that is saved gives one hot verdict: ${how}`, async () => {
        const { live, rest } = await room({ polling });
        await save(live(SKILL), 'other');
        const events = await rest();
        expect(events).toMatchObject([HOT]);
        expect(events[0]?.reasons).toMatchObject([{ path: SKILL, change: 'modified' }]);
        await save(live(SKILL), 'again');
        expect(await rest()).toMatchObject([HOT]);
      });
    }

    test('what is deleted, renamed, made executable or added is cold, and says what and how', async () => {
      const { live, next, watch } = await room({ polling });
      const cold = (...reasons: object[]) => ({ kind: 'cold', reasons, cause: { by: 'edit' } });
      await unlink(live('skills/review/notes.md'));
      expect(await next()).toMatchObject({
        ...cold({ path: 'skills/review/notes.md', change: 'removed' }),
        skills: ['skills/review'],
      });
      watch.loaded('lint');
      await rename(live('hooks/run.sh'), live('hooks/ran.sh'));
      expect(await next()).toMatchObject(
        cold({ path: 'hooks/ran.sh', change: 'added' }, { path: 'hooks/run.sh', change: 'removed' }),
      );
      watch.loaded('lint');
      await chmod(live(SKILL), 0o755);
      expect(await next()).toMatchObject(cold({ path: SKILL, change: 'modified' }));
      watch.loaded('lint');
      await mkdir(live('skills/new/deep/deeper'), { recursive: true });
      await writeFile(live('skills/new/deep/deeper/SKILL.md'), 'new');
      expect(await next()).toMatchObject(cold({ path: 'skills/new/deep/deeper/SKILL.md', change: 'added' }));
      watch.loaded('lint');
      await writeFile(live('skills/new/deep/deeper/SKILL.md'), 'newer');
      expect(await next()).toMatchObject({ kind: 'skill-content-only', skills: ['skills/new/deep/deeper'] });
    });

    test('a directory that another one takes the place of is watched from then on', async () => {
      const { layout, live, next, rest, watch } = await room({ polling });
      const aside = join(layout.staging, 'aside');
      await mkdir(aside);
      await writeFile(join(aside, 'SKILL.md'), 'moved in');
      await rename(live('skills/review'), join(layout.staging, 'gone'));
      await rename(aside, live('skills/review'));
      // What needs the restart comes first.
      expect((await next()).reasons.map(({ path }) => path)).toEqual(['skills/review/notes.md', SKILL]);
      watch.loaded('lint');
      await rest();
      await writeFile(live(SKILL), 'edited');
      expect(await next()).toMatchObject(HOT);
    });

    test('a link in the place of a skill is cold', async () => {
      const { live, next } = await room({ polling });
      await rename(live(SKILL), live('skills/review/real.md'));
      await symlink('real.md', live(SKILL));
      expect(await next()).toMatchObject({ kind: 'cold' });
    });

    test('a plugin that vanishes, comes back and appears is told', async () => {
      const { layout, next } = await room({ polling });
      const aside = join(layout.staging, 'aside');
      await rename(layout.live('lint'), aside);
      expect(await next()).toMatchObject({
        plugin: 'lint',
        kind: 'cold',
        status: 'absent',
        generation: undefined,
      });
      await rename(aside, layout.live('lint'));
      expect(await next()).toMatchObject({ plugin: 'lint', kind: 'identical', status: 'admitted' });
      await install(layout, 'fresh', { 'plugin.yaml': yamlOf('fresh') });
      expect(await next()).toMatchObject({ plugin: 'fresh', kind: 'cold', status: 'admitted' });
      await rm(layout.live('fresh'), { recursive: true });
      expect(await next()).toMatchObject({ plugin: 'fresh', kind: 'cold', status: 'absent' });
    });
  });
}

describe('verdicts', () => {
  test('a cold change stays until it is loaded or taken back', async () => {
    const { live, next, watch } = await room();
    await writeFile(live('hooks/run.sh'), '#!/bin/sh\nexit 1\n');
    expect(await next()).toMatchObject({ kind: 'cold', reasons: [{ path: 'hooks/run.sh' }] });
    await writeFile(live(SKILL), 'later');
    expect(await next()).toMatchObject({
      kind: 'cold',
      reasons: [{ path: 'hooks/run.sh' }, { path: SKILL }],
    });
    await writeFile(live('hooks/run.sh'), '#!/bin/sh\n');
    expect(await next()).toMatchObject(HOT);
    await writeFile(live('hooks/run.sh'), '#!/bin/sh\nexit 2\n');
    expect(await next()).toMatchObject({ kind: 'cold' });
    watch.loaded('lint');
    await writeFile(live(SKILL), 'last');
    expect(await next()).toMatchObject(HOT);
    await writeFile(live('plugin.yaml'), `${FILES['plugin.yaml']}author: me\n`);
    expect(await next()).toMatchObject({ kind: 'cold' });
    await writeFile(live('plugin.yaml'), FILES['plugin.yaml']);
    expect(await next()).toMatchObject({ kind: 'identical', reasons: [] });
  });

  test('what changes nothing is not told: the same bytes again, caches, swap files, an edit that is undone', async () => {
    const { live, rest } = await room();
    await writeFile(live(SKILL), 'one');
    await mkdir(live('hooks/__pycache__'));
    await writeFile(live('hooks/__pycache__/run.cpython-312.pyc'), 'x');
    await writeFile(live('skills/review/.SKILL.md.swp'), 'x');
    await writeFile(live('hooks/run.sh'), 'other');
    await writeFile(live('hooks/run.sh'), '#!/bin/sh\n');
    expect(await rest()).toEqual([]);
  });

  test('hot_reload: false makes every change cold', async () => {
    const layout = await makeRoot();
    await install(layout, 'lint', { ...FILES, 'plugin.yaml': yamlOf('lint', 'hot_reload: false\n') });
    const { next } = await watching(layout);
    await writeFile(join(layout.live('lint'), SKILL), 'other');
    expect(await next()).toMatchObject({ kind: 'cold' });
  });

  test('what no longer passes the gate is cold and says why, and is told when it passes again', async () => {
    const { live, next } = await room();
    const marker = live('.complete');
    await rename(marker, `${marker}.aside`);
    expect(await next()).toMatchObject({
      kind: 'cold',
      status: 'refused',
      detail: expect.stringMatching(/^no-marker/),
    });
    await rename(`${marker}.aside`, marker);
    expect(await next()).toMatchObject({ kind: 'identical', status: 'admitted' });
  });

  test('a half-copied directory is told when it is finished with a touch', async () => {
    const layout = await makeRoot();
    await mkdir(layout.live('late'));
    const { next, rest } = await watching(layout);
    await writeFile(join(layout.live('late'), 'plugin.yaml'), yamlOf('late'));
    expect(await rest()).toEqual([]);
    await writeFile(join(layout.live('late'), '.complete'), '');
    expect(await next()).toMatchObject({ plugin: 'late', kind: 'cold', cause: { by: 'edit' } });
  });

  test('an edit from before the watcher began is no event, and a later one is compared with it', async () => {
    const layout = await makeRoot();
    await install(layout, 'lint', FILES);
    await writeFile(join(layout.live('lint'), 'hooks/run.sh'), '#!/bin/sh\nearly\n');
    await writeFile(join(layout.live('lint'), SKILL), 'ONE');
    const { next, rest } = await watching(layout);
    expect(await rest()).toEqual([]);
    await writeFile(join(layout.live('lint'), SKILL), 'one');
    expect(await next()).toMatchObject({ ...HOT, reasons: [{ path: SKILL }] });
  });

  /** Tells that something changes every 200 ms of the clock for so long, or until something is told. */
  async function stir(path: string, seconds: number) {
    let tell: (path: string) => void = () => undefined;
    const fileEvents: FileEvents = {
      open(_directory, deep, told) {
        if (deep) tell = told;
        return { ready: Promise.resolve(), close: () => Promise.resolve() };
      },
    };
    const seen = await room({ fileEvents });
    await writeFile(seen.live(path), 'other');
    const { told, clock } = seen;
    const began = clock.now();
    while (told.length === 0 && clock.now() - began < seconds * 1000) {
      tell(path);
      clock.advance(200);
      await pause(20);
    }
    return { ...seen, millis: clock.now() - began };
  }

  test('a plugin that never stands still is judged all the same, every five seconds', async () => {
    const { told, millis } = await stir(SKILL, 60);
    expect(told).toMatchObject([HOT]);
    expect(millis).toBeGreaterThanOrEqual(5000);
  });

  test('of one that never stands still a restart is asked for only when it has been due three times in a row', async () => {
    const { told, millis } = await stir('hooks/run.sh', 60);
    expect(told).toMatchObject([{ kind: 'cold', reasons: [{ path: 'hooks/run.sh', change: 'modified' }] }]);
    expect(millis).toBeGreaterThanOrEqual(15_000);
  });

  test('a restart that is held back because changes go on is asked for when they end', async () => {
    const { rest } = await stir('hooks/run.sh', 6);
    expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [{ path: 'hooks/run.sh' }] }]);
  });

  test('1,000 rapid saves lose no change and end in the verdict on the last', async () => {
    const { live, rest, told, clock } = await room();
    for (let i = 0; i < 1000; i += 1) {
      await (i % 2 === 0
        ? writeFile(live(SKILL), `save ${i}`)
        : SAVES['a temporary file and a rename']?.(live('skills/write/SKILL.md'), `save ${i}`));
      if (i % 10 === 0) clock.advance(100);
    }
    await rest();
    const last = new Set(told.flatMap(({ skills }) => skills));
    expect([...last].toSorted()).toEqual(['skills/review', 'skills/write']);
    expect(new Set(told.map(({ kind }) => kind))).toEqual(new Set(['skill-content-only']));
    await writeFile(live(SKILL), 'save 998');
    await writeFile(live('skills/write/SKILL.md'), 'save 999');
    expect(await rest()).toEqual([]);
  });
});
