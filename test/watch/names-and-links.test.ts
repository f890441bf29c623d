/** What is easily overlooked: names that are none, links that lead elsewhere, files with two names, directories that come early. */
import { mkdirSync, readdirSync, watch as watchDirectory, writeFileSync } from 'node:fs';
import { link, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

import { describe, expect, test } from 'vitest';

import { systemFileEvents } from '../../watch/file-events.ts';
import type { FileEvents } from '../../watch/ports.ts';
import { lostWhileOpening } from '../_kit/early-directories.ts';
import { install, makeRoot, STAMP, writeFiles, yamlOf } from '../_kit/loader-root.ts';
import { watching } from '../_kit/watching.ts';

const FILES = {
  'plugin.yaml': yamlOf('lint'),
  'skills/review/SKILL.md': 'one',
  'hooks/run.sh': '#!/bin/sh\n',
};
const SKILL = 'skills/review/SKILL.md';

/** A path whose last name is not UTF-8. */
const mangled = (directory: string): Buffer =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x61])]);

for (const polling of [false, true]) {
  describe(polling ? 'polling' : 'woken up by the system', () => {
    async function room() {
      const layout = await makeRoot();
      await install(layout, 'lint', FILES);
      const seen = await watching(layout, { polling });
      return { live: (path: string) => join(layout.live('lint'), path), ...seen };
    }

    test('a name that begins with two dots is a name', async () => {
      const { live, rest } = await room();
      await writeFile(live('..run.py'), '');
      expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [{ path: '..run.py' }] }]);
    });

    test('a file or directory whose name is not UTF-8 is cold, also beside a skill, until it is gone', async () => {
      const { live, rest } = await room();
      await writeFile(mangled(live('hooks')), '');
      await writeFile(live(SKILL), 'two');
      const file = { path: 'hooks/\u{FFFD}a', change: 'added', why: 'its name is not UTF-8' };
      expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [file, { path: SKILL }] }]);
      await rm(mangled(live('hooks')));
      expect(await rest()).toMatchObject([{ kind: 'skill-content-only' }]);
      await mkdir(mangled(live('skills')));
      expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [{ path: 'skills/\u{FFFD}a' }] }]);
    });

    test('a directory with a name by which files are ignored counts, with all that lies in it', async () => {
      const { live, rest } = await room();
      mkdirSync(live('hooks~/deep.pyc'), { recursive: true });
      writeFileSync(live('hooks~/deep.pyc/run.sh'), '');
      expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [{ path: 'hooks~/deep.pyc/run.sh' }] }]);
      await writeFile(live('hooks~/run.sh~'), '');
      expect(await rest()).toEqual([]);
    });

    test('a link that leads elsewhere than before is cold', async () => {
      const { live, rest, watch } = await room();
      await symlink('run.sh', live('hooks/link'));
      await rest();
      watch.loaded('lint');
      await rm(live('hooks/link'));
      await symlink('other.sh', live('hooks/link'));
      expect(await rest()).toMatchObject([{ kind: 'cold', reasons: [{ path: 'hooks/link' }] }]);
    });

    test('a skill that is a hook by another name is cold, however it is edited', async () => {
      const { live, rest, watch } = await room();
      await rm(live(SKILL));
      await link(live('hooks/run.sh'), live(SKILL));
      await rest();
      watch.loaded('lint');
      await writeFile(live(SKILL), 'two');
      expect(await rest()).toMatchObject([
        { kind: 'cold', reasons: [{ path: 'hooks/run.sh' }, { path: SKILL }] },
      ]);
    });

    test('what was written under a name that is gone since has changed under the others', async () => {
      const { live, rest, watch } = await room();
      await link(live('hooks/run.sh'), live('hooks/other.sh'));
      await rest();
      watch.loaded('lint');
      await writeFile(live('hooks/other.sh'), 'new');
      await rm(live('hooks/other.sh'));
      expect(await rest()).toMatchObject([
        { kind: 'cold', reasons: [{ path: 'hooks/other.sh' }, { path: 'hooks/run.sh' }] },
      ]);
    });
  });
}

/** Eyes that count how often something was opened. */
function counted(): { fileEvents: FileEvents; opened: () => number } {
  let opened = 0;
  const open: FileEvents['open'] = (...args) => {
    opened += 1;
    return systemFileEvents.open(...args);
  };
  return { fileEvents: { open }, opened: () => opened };
}

test('a file with two names that is written again and again does not make all directories be opened anew', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', FILES);
  const path = (name: string): string => join(layout.live('lint'), name);
  await link(path('hooks/run.sh'), path('hooks/other.sh'));
  const { fileEvents, opened } = counted();
  const { next } = await watching(layout, { fileEvents });
  const before = opened();
  for (const text of ['one', 'two', 'three']) {
    await writeFile(path('hooks/other.sh'), text);
    expect(await next()).toMatchObject({
      kind: 'cold',
      reasons: [{ path: 'hooks/other.sh' }, { path: 'hooks/run.sh' }],
    });
  }
  expect(opened()).toBe(before);
});

test('directories with the names of temporary files are watched, and nothing is opened again for them', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint', { ...FILES, 'hooks~/run.sh': '', 'hooks/.run.swp/run.sh': '' });
  const { fileEvents, opened } = counted();
  const { rest } = await watching(layout, { fileEvents });
  const before = opened();
  expect(await rest()).toEqual([]);
  expect(opened()).toBe(before);
  for (const path of ['hooks~/run.sh', 'hooks/.run.swp/run.sh']) {
    await writeFile(join(layout.live('lint'), path), 'new');
    expect(await rest()).toMatchObject([{ kind: 'cold' }]);
  }
  expect(opened()).toBe(before);
});

test('directories that come while their own is being opened are not forgotten', async () => {
  // More rounds: test/crash/early-directories.test.ts.
  for (let round = 0; round < 3; round += 1) expect(await lostWhileOpening()).toEqual([]);
});

/** File events of the directories that are there when a watch is opened, and of no later ones. */
const ofFirstDirectories: FileEvents = {
  open(directory, deep, onPath) {
    const below = deep ? readdirSync(directory, { recursive: true, withFileTypes: true }) : [];
    const directories = below.filter((entry) => entry.isDirectory());
    const paths = [
      '',
      ...directories.map(({ parentPath, name }) => relative(directory, join(parentPath, name))),
    ];
    const watchers = paths.map((path) =>
      watchDirectory(join(directory, path), { persistent: false }, (_event, name) =>
        onPath(join(path, name ?? '')),
      ),
    );
    const close = async (): Promise<void> => watchers.forEach((watcher) => watcher.close());
    return { ready: Promise.resolve(), close };
  },
};

test('a directory that comes before the marker is watched, also if its file events began too late', async () => {
  const layout = await makeRoot();
  const path = (name: string): string => join(layout.live('lint'), name);
  const files = { 'plugin.yaml': yamlOf('lint'), 'rules/a.md': 'a' };
  // Only its receipt and its marker are used.
  const aside = join(layout.staging, 'aside');
  await install(layout, 'lint', files, STAMP, aside);
  const { watch: watched, rest, next } = await watching(layout, { fileEvents: ofFirstDirectories });
  await mkdir(path(''));
  await rest();
  await writeFiles(path(''), files);
  await rest();
  // One event, so that nothing else makes the plugin be read again.
  await rename(join(aside, '.complete'), path('.complete'));
  expect(await rest()).toMatchObject([{ status: 'admitted', cause: { by: 'swap' } }]);
  watched.loaded('lint');
  await writeFile(path('rules/a.md'), 'edited');
  expect(await next()).toMatchObject({ cause: { by: 'edit' }, reasons: [{ path: 'rules/a.md' }] });
});
