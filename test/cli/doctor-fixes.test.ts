/** What a doctor says to type puts right what it has found: each fix that is a command is typed, and the doctor is asked again. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import type { CheckName } from '../../shared/api/doctor.ts';
import { type Layout, layoutOf } from '../../shared/format/layout.ts';
import { scratch } from '../_kit/agent.ts';
import { SOME_TOKEN, examineRoot } from '../_kit/doctor.ts';
import { writeFiles, writeIntent, yamlOf } from '../_kit/loader-root.ts';
import { inProcess, makeScene } from '../_kit/two-ways.ts';

type Case = {
  check: CheckName;
  /** Makes the root bad. @returns settings with which the doctor is asked. */
  spoil: (layout: Layout) => Promise<Record<string, string>> | Record<string, string>;
  /** The command, as a part of what the doctor says to do. */
  command: RegExp;
};

const CASES: Record<string, Case> = {
  'a root that everybody may write to': {
    check: 'owner',
    spoil: ({ root }) => {
      chmodSync(root, 0o777);
      return {};
    },
    command: /^chmod o-w ".*"$/,
  },
  'directories of Airlock that others may enter': {
    check: 'owner',
    spoil: ({ staging, previous }) => {
      for (const path of [staging, previous]) chmodSync(path, 0o755);
      return {};
    },
    command: /^chmod 0700 ".*" ".*"$/,
  },
  'a token file that everybody may read': {
    check: 'token',
    spoil: async () => {
      const file = join(await scratch(), 'tokens');
      await writeFile(file, `write ${SOME_TOKEN} platform\n`);
      chmodSync(file, 0o644);
      return { AIRLOCK_TOKEN: '', AIRLOCK_TOKEN_FILE: file };
    },
    command: /^chmod 0600 "[^"]*"/,
  },
  'a directory without a marker': {
    check: 'plugins',
    spoil: async (layout) => {
      await writeFiles(layout.live('half'), { 'plugin.yaml': yamlOf('half') });
      return {};
    },
    command: /airlock adopt half/,
  },
  'what a crash has left': {
    check: 'leftovers',
    spoil: async (layout) => {
      await writeIntent(layout, 'lint');
      return {};
    },
    command: /^airlock recover/,
  },
  'a missing directory for reports': {
    check: 'loaded',
    spoil: async ({ root }) => {
      const loadedDir = join(root, '..', 'reports');
      rmSync(loadedDir, { recursive: true, force: true });
      return Promise.resolve({ AIRLOCK_LOADED_DIR: loadedDir });
    },
    command: /Make "[^"]*"/,
  },
};

async function type(command: string, root: string): Promise<void> {
  const [name, ...words] = command.split(' ');
  if (name === 'Make') {
    mkdirSync(words.join(' ').replaceAll('"', ''));
  } else if (name === 'airlock') {
    const { code, text } = await inProcess([...words, '--root', root]);
    expect({ command, code, text }).toEqual({ command, code: 0, text });
    // Some commands only plan at first, and say what to add.
    const added = /Do it with (--yes.*)$/m.exec(text)?.[1];
    if (added !== undefined) await type(`${command} ${added}`, root);
  } else {
    execFileSync('sh', ['-c', command]);
  }
}

it.each(Object.entries(CASES))('puts %s right', async (_, { check, spoil, command }) => {
  const { program } = await makeScene('on the root');
  const { root } = program;
  const env = await spoil(layoutOf(root));
  const bad = await examineRoot(root, env);
  expect(bad.bad.map((one) => one.split(' ')[1])).toEqual([check]);
  const fix = bad.of(check).flatMap((one) => command.exec(one.fix ?? '')?.[0] ?? []);
  expect(fix).toHaveLength(1);
  await type(fix[0] ?? '', root);
  const again = await examineRoot(root, env);
  expect({
    bad: again.bad,
    found: again.of(check).filter(({ level }) => level !== 'ok' && level !== 'note'),
  }).toEqual({ bad: [], found: [] });
  expect(again.code).toBe(0);
});
