import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { type GateAnswer, createLoader } from '../../loader/index.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { STAMP, install, makeRoot, markerOf, writeFiles, yamlOf } from '../_kit/loader-root.ts';

const FILES = { 'plugin.yaml': yamlOf('lint'), 'hooks/run.sh': 'echo 1\n', 'skills/a/SKILL.md': 'one' };
type Mode = 'marker' | 'stat' | 'digest';

async function installed(files: Record<string, string> = FILES): Promise<Layout> {
  const layout = await makeRoot();
  await install(layout, 'lint', files);
  return layout;
}

const gate = (layout: Layout, verify: Mode, ignore: string[] = []): Promise<GateAnswer> =>
  createLoader({ roots: [layout.root], verify, ignore }).gate('lint');

const reasonOf = (answer: GateAnswer): string =>
  answer.admitted ? 'admitted' : `${answer.reason}: ${answer.detail}`;
const said = (what: string): string => `digest-mismatch: It is not as it was installed: ${what}`;

describe.each(['stat', 'digest'] as const)('verify "%s"', (mode) => {
  test('an untouched plugin is admitted without a warning', async () => {
    expect(await gate(await installed(), mode)).toMatchObject({
      plugin: { level: 'verified', warnings: [] },
    });
  });

  test('an edited file is named', async () => {
    const layout = await installed();
    await appendFile(join(layout.live('lint'), 'skills/a/SKILL.md'), ' more');
    expect(reasonOf(await gate(layout, mode))).toBe(said('"skills/a/SKILL.md" is modified'));
    expect((await gate(layout, 'marker')).admitted).toBe(true);
  });

  test('a missing file is named', async () => {
    const layout = await installed();
    await rm(join(layout.live('lint'), 'skills'), { recursive: true });
    expect(reasonOf(await gate(layout, mode))).toBe(said('"skills/a/SKILL.md" is missing'));
  });

  test('a file that was not installed is named', async () => {
    const layout = await installed();
    await writeFiles(layout.live('lint'), { 'hooks/extra.md': '' });
    expect(reasonOf(await gate(layout, mode))).toBe(said('"hooks/extra.md" was not installed'));
  });

  test('a hook that is not executable any more is modified', async () => {
    const layout = await installed();
    await chmod(join(layout.live('lint'), 'hooks/run.sh'), 0o644);
    expect(reasonOf(await gate(layout, mode))).toBe(said('"hooks/run.sh" is modified'));
  });

  test('only the execute bit of the owner counts', async () => {
    const layout = await installed();
    await chmod(join(layout.live('lint'), 'hooks/run.sh'), 0o700);
    expect((await gate(layout, mode)).admitted).toBe(true);
  });

  test('links and fifos were not installed; a link in the place of a file leaves that missing', async () => {
    const layout = await installed();
    execFileSync('mkfifo', [join(layout.live('lint'), 'fifo')]);
    await rm(join(layout.live('lint'), 'hooks/run.sh'));
    await symlink('/bin/sh', join(layout.live('lint'), 'hooks/run.sh'));
    const words = said(
      '"hooks/run.sh" is missing, "fifo" was not installed, "hooks/run.sh" was not installed',
    );
    expect(reasonOf(await gate(layout, mode))).toBe(words);
  });

  test('a link to a directory is not followed', async () => {
    const layout = await installed();
    await symlink('..', join(layout.live('lint'), 'loop'));
    expect(reasonOf(await gate(layout, mode))).toBe(said('"loop" was not installed'));
  });

  test('a directory whose name is not UTF-8 was not installed', async () => {
    const layout = await installed();
    const directory = Buffer.concat([Buffer.from(`${layout.live('lint')}/`), Buffer.from([0xff])]);
    await mkdir(directory);
    await writeFile(Buffer.concat([directory, Buffer.from('/run.sh')]), 'x');
    expect(reasonOf(await gate(layout, mode))).toBe(said('"\uFFFD" was not installed'));
  });

  test('a name that is no UTF-8 is seen', async () => {
    const layout = await installed();
    await writeFile(Buffer.from(`${layout.live('lint')}/\xff`, 'latin1'), '');
    expect(reasonOf(await gate(layout, mode))).toBe(said('"\uFFFD" was not installed'));
  });

  test('what Python, editors and desktops leave behind is neither drift nor a reason to refuse', async () => {
    const layout = await installed();
    const litter = { 'hooks/__pycache__/run.cpython-312.pyc': 'x', 'hooks/lib.pyc': 'x', '.DS_Store': 'x' };
    await writeFiles(layout.live('lint'), { ...litter, 'skills/a/.SKILL.md.swp': 'x', 'plugin.yaml~': 'x' });
    expect((await gate(layout, mode)).admitted).toBe(true);
  });

  test('a directory is not ignored for a name that only files are ignored by', async () => {
    const layout = await installed();
    await writeFiles(layout.live('lint'), { 'backup~/run.md': 'x' });
    expect(reasonOf(await gate(layout, mode))).toBe(said('"backup~/run.md" was not installed'));
  });

  test('names that the owner adds are ignored, too', async () => {
    const layout = await installed();
    await writeFiles(layout.live('lint'), { 'node_modules/x/y.js': 'x', 'run.log': 'x' });
    expect((await gate(layout, mode, ['node_modules', '*.log'])).admitted).toBe(true);
    expect(reasonOf(await gate(layout, mode, ['*.log']))).toContain(
      '"node_modules/x/y.js" was not installed',
    );
  });

  test('twenty files are named and the rest counted', async () => {
    const layout = await installed();
    const extra = Object.fromEntries(Array.from({ length: 22 }, (_, i) => [`extra-${10 + i}`, '']));
    await writeFiles(layout.live('lint'), extra);
    expect(reasonOf(await gate(layout, mode))).toMatch(/"extra-29" was not installed and 2 more$/);
  });

  test('an empty marker is admitted with the warning that there is nothing to compare with', async () => {
    const layout = await installed();
    await writeFile(join(layout.live('lint'), '.complete'), '');
    expect(await gate(layout, mode)).toMatchObject({
      plugin: {
        level: 'unverified',
        warnings: ['Its marker is empty: there is nothing to compare its files with'],
      },
    });
  });

  test('an abort ends it', async () => {
    const layout = await installed();
    const abort = new AbortController();
    const answer = createLoader({ roots: [layout.root], verify: mode, signal: abort.signal }).gate('lint');
    abort.abort();
    await expect(answer).rejects.toThrow('abort');
  });
});

test('an edit of the same size is seen by "digest" and not by "stat"', async () => {
  const layout = await installed();
  await writeFile(join(layout.live('lint'), 'skills/a/SKILL.md'), 'two');
  expect((await gate(layout, 'stat')).admitted).toBe(true);
  expect(reasonOf(await gate(layout, 'digest'))).toBe(said('"skills/a/SKILL.md" is modified'));
});

test('files larger than one read are hashed whole', async () => {
  const layout = await installed({ ...FILES, 'big.bin': 'x'.repeat(300_000) });
  expect((await gate(layout, 'digest')).admitted).toBe(true);
  await writeFile(join(layout.live('lint'), 'big.bin'), `${'x'.repeat(299_999)}y`);
  expect(reasonOf(await gate(layout, 'digest'))).toBe(said('"big.bin" is modified'));
});

describe.each([
  ['missing', (layout: Layout) => rm(layout.receipt('lint', STAMP)), 'Its receipt is missing'],
  ['damaged', (layout: Layout) => writeFile(layout.receipt('lint', STAMP), '{'), 'Its receipt is damaged'],
  [
    'that of another install',
    (layout: Layout) =>
      writeFile(
        layout.receipt('lint', STAMP),
        JSON.stringify({ ...markerOf('other', []), list: [], skipped: [] }),
      ),
    'Its receipt is that of another install',
  ],
] as const)('a receipt that is %s', (_, spoil, words) => {
  test('"stat" admits with a warning', async () => {
    const layout = await installed();
    await spoil(layout);
    expect(await gate(layout, 'stat')).toMatchObject({
      plugin: { level: 'verified', warnings: [`${words}: only the marker was checked`] },
    });
  });

  test('"digest" compares with the tree digest in the marker', async () => {
    const layout = await installed();
    await spoil(layout);
    expect(await gate(layout, 'digest')).toMatchObject({
      plugin: { warnings: [`${words}: compared with the marker's tree digest alone`] },
    });
    await writeFile(join(layout.live('lint'), 'skills/a/SKILL.md'), 'two');
    expect(reasonOf(await gate(layout, 'digest'))).toMatch(
      /^digest-mismatch: Its files have the tree digest "sha256:/,
    );
    await install(layout, 'lint', FILES);
    await spoil(layout);
    await symlink('x', join(layout.live('lint'), 'link'));
    expect(reasonOf(await gate(layout, 'digest'))).toBe(said('"link" was not installed'));
  });
});

test('a receipt that says the name of another plugin is not compared with', async () => {
  const layout = await installed();
  const list = await writeFiles(layout.live('lint'), FILES);
  const receipt = { ...markerOf('lint', list), plugin: 'other', list: [], skipped: [] };
  await writeFile(layout.receipt('lint', STAMP), JSON.stringify(receipt));
  expect((await gate(layout, 'stat')).admitted).toBe(true);
});

test('a receipt whose list was forged to fit does not deceive "digest"', async () => {
  const layout = await installed();
  const marker = markerOf('lint', await writeFiles(layout.live('lint'), FILES));
  const list = await writeFiles(layout.live('lint'), { ...FILES, 'skills/a/SKILL.md': 'two' });
  await writeFile(layout.receipt('lint', STAMP), JSON.stringify({ ...marker, list, skipped: [] }));
  expect(reasonOf(await gate(layout, 'digest'))).toMatch(/^digest-mismatch: Its files have the tree digest/);
});

test('a marker of a newer format without a receipt: "digest" says that there is nothing to compare with', async () => {
  const layout = await installed();
  await rm(layout.receipt('lint', STAMP));
  const newer = JSON.stringify({ version: 2, plugin: 'lint', installId: STAMP });
  await writeFile(join(layout.live('lint'), '.complete'), newer);
  expect(await gate(layout, 'digest')).toMatchObject({
    plugin: { level: 'verified', warnings: [expect.stringContaining('its marker is of a newer format')] },
  });
});

test('mode warn and "stat": a plugin without a marker is admitted with both warnings', async () => {
  const layout = await makeRoot();
  await writeFiles(layout.live('lint'), FILES);
  const answer = await createLoader({ roots: [layout.root], mode: 'warn', verify: 'stat' }).gate('lint');
  expect(answer).toMatchObject({
    plugin: { level: 'unmarked', warnings: [{}, {}].map(() => expect.any(String)) },
  });
});
