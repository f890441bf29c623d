/** Boot-install: bundles of the image go in once, and what the platform has done since stays. */
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';

import { makeImage, statusesOf } from '../_kit/image.ts';
import { Program } from '../_kit/program.ts';
import { type Version, judge, litterIn, versionOf } from '../_kit/versions.ts';

vi.setConfig({ testTimeout: 120_000 });

let one: Version;
let two: Version;
let three: Version;
let other: Version;
beforeAll(() => {
  one = versionOf('lint', 1);
  two = versionOf('lint', 2);
  three = versionOf('lint', 3, { files: 1000, large: 3_000_000 });
  other = versionOf('other', 1);
});

const live = (program: Program, plugin: string): Promise<unknown> =>
  judge(program.root, plugin, plugin === 'lint' ? [one, two, three] : [other]);
const litter = (program: Program): Promise<string[]> => litterIn(program.root, 'lint', [one, two, three]);

describe('boot-install', () => {
  async function bootFrom(
    bundles: Record<string, Version>,
    how: 'here' | 'run' = 'here',
  ): Promise<{
    program: Program;
    directory: string;
    again: (env?: Record<string, string>) => Promise<{ code: number | null; booted: unknown }>;
  }> {
    const program = await Program.open();
    onTestFinished(() => program.close());
    const directory = await makeImage(program, bundles);
    const again = async (
      env: Record<string, string> = {},
    ): Promise<{ code: number | null; booted: unknown }> => {
      const { code, stdout } = await program[how](['boot', directory, '--root', program.root], env);
      return { code, booted: JSON.parse(stdout) };
    };
    return { program, directory, again };
  }
  const lint = (status: string): object => ({ code: 0, booted: [{ plugin: 'lint', status }] });

  it('installs a bundle once, and again when the image brings another one', async () => {
    const { program, directory, again } = await bootFrom({ lint: one });
    const first = await again();
    expect(first).toMatchObject(lint('installed'));
    const live1 = JSON.parse(await readFile(join(program.root, 'lint', '.complete'), 'utf8')) as object;
    expect(live1).toMatchObject({ by: 'boot', source: 'lint.tgz', replaced: null });
    expect(await again()).toMatchObject(lint('kept'));
    await copyFile(join(directory, 'lint.tgz'), join(directory, 'renamed.tar.gz'));
    await writeFile(join(directory, 'lint.tgz'), two.bundle.bytes);
    await writeFile(join(directory, 'renamed.tar.gz'), '');
    await writeFile(join(directory, 'notes.txt'), 'no bundle');
    expect(await again()).toMatchObject({ code: 1, booted: [{ status: 'installed' }, { status: 'failed' }] });
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 2 });
  });

  it('neither takes back what the platform has updated, nor brings back what it has removed', async () => {
    const { program, directory, again } = await bootFrom({ lint: one });
    await again();
    await program.serve();
    const bundle = join(program.folder, 'two.tgz');
    await writeFile(bundle, two.bundle.bytes);
    await program.json(['push', bundle]);
    expect(await again()).toMatchObject(lint('kept'));
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 2 });
    await program.json(['uninstall', 'lint']);
    expect(await again()).toMatchObject(lint('kept'));
    expect(await live(program, 'lint')).toEqual({ kind: 'absent' });
    await writeFile(join(directory, 'lint.tgz'), three.bundle.bytes);
    expect(await again()).toMatchObject(lint('installed'));
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 3 });
  });

  it('leaves what was live before it ever ran, and remembers that', async () => {
    const { program, directory, again } = await bootFrom({ lint: one });
    await program.serve();
    const bundle = join(program.folder, 'two.tgz');
    await writeFile(bundle, two.bundle.bytes);
    await program.json(['push', bundle]);
    for (const detail of ['another version is live already', 'it was installed at an earlier start']) {
      const booted = [{ plugin: 'lint', status: 'kept', detail }];
      expect(await again()).toEqual({ code: 0, booted: [expect.objectContaining(booted[0] ?? {})] });
    }
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 2 });
    await writeFile(join(directory, 'lint.tgz'), three.bundle.bytes);
    expect(await again()).toMatchObject(lint('installed'));
  });

  it('that was killed before it could remember installs nothing twice', async () => {
    const { program, directory, again } = await bootFrom({ lint: one });
    await again();
    const record = join(program.root, '.boot', 'lint.json');
    const before = await readFile(record);
    await writeFile(join(directory, 'lint.tgz'), two.bundle.bytes);
    await again();
    const marker = await readFile(join(program.root, 'lint', '.complete'), 'utf8');
    await writeFile(record, before);
    expect(await again()).toMatchObject(lint('present'));
    await writeFile(record, 'torn');
    expect(await again()).toMatchObject(lint('kept'));
    expect(await readFile(join(program.root, 'lint', '.complete'), 'utf8')).toBe(marker);
  });

  // Was a bug: a record that could not be read counted as none.
  it('brings nothing back whose record cannot be read, and says what to do', async () => {
    const { program, again } = await bootFrom({ lint: one });
    await again();
    await program.here(['uninstall', 'lint', '--root', program.root]);
    await writeFile(join(program.root, '.boot', 'lint.json'), 'torn');
    const failed = { plugin: 'lint', status: 'failed', error: { code: 'INTERNAL' } };
    expect(await again()).toMatchObject({ code: 1, booted: [failed] });
    expect(await live(program, 'lint')).toEqual({ kind: 'absent' });
    await rm(join(program.root, '.boot', 'lint.json'));
    expect(await again()).toMatchObject(lint('installed'));
  });

  // Was a bug: after a bundle that failed the command ended a minute late, when its operation was forgotten.
  it('fails for a bad bundle alone, and tries it again the next time', async () => {
    const { program, directory, again } = await bootFrom(
      { 'b-lint': one, 'c-lint': two, 'd-other': other },
      'run',
    );
    await writeFile(join(directory, 'a-bad.tgz'), 'no archive');
    const booted = [
      { status: 'failed', error: { code: 'ARCHIVE_CORRUPT' } },
      { plugin: 'lint', status: 'installed' },
      { plugin: 'lint', status: 'failed', error: { code: 'CONFLICT' } },
      { plugin: 'other', status: 'installed' },
    ];
    const first = await again();
    expect(first).toMatchObject({ code: 1, booted });
    expect(JSON.stringify(first)).toContain('\\"b-lint.tgz\\" also holds \\"lint\\"');
    expect(await live(program, 'lint')).toEqual({ kind: 'version', number: 1 });
    await writeFile(join(directory, 'a-bad.tgz'), two.bundle.bytes.subarray(0, -4));
    expect(await again()).toMatchObject({
      code: 1,
      booted: [{ status: 'failed' }, {}, {}, { status: 'kept' }],
    });
    expect(await litter(program)).toEqual([]);
  });

  it('takes the directory of the environment, and says which one cannot be read', async () => {
    const { program, directory } = await bootFrom({ lint: one });
    const at = ['--root', program.root];
    const named = await program.run(['boot', ...at], { AIRLOCK_BOOT_FROM: directory });
    expect([named.code, statusesOf(named)]).toEqual([0, [['lint', 'installed']]]);
    for (const words of [
      ['boot', ...at],
      ['boot', join(program.folder, 'nothing'), ...at],
    ]) {
      const { code, stderr } = await program.here(words);
      expect(code).toBe(2);
      expect(stderr).toContain('what to do: Name');
    }
    await mkdir(join(program.folder, 'empty'));
    expect(await program.run(['boot', join(program.folder, 'empty'), ...at])).toMatchObject({
      code: 0,
      stdout: '[]\n',
    });
  });

  it('of an agent is over before it listens, whatever became of it', async () => {
    const { program, directory } = await bootFrom({ 'b-lint': three, 'c-other': other });
    await writeFile(join(directory, 'a-bad.tgz'), 'no archive');
    await program.serve({ AIRLOCK_BOOT_FROM: directory });
    expect([await live(program, 'lint'), await live(program, 'other')]).toMatchObject([
      { number: 3 },
      { number: 1 },
    ]);
    const said = program.log.flatMap(({ msg, status }) =>
      msg === 'boot-install' ? [status] : msg === 'listening' ? [msg] : [],
    );
    expect(said).toEqual(['failed', 'installed', 'installed', 'listening']);
    await program.stop();
    await program.serve({ AIRLOCK_BOOT_FROM: join(program.folder, 'nothing') });
    expect(program.log.some(({ msg }) => msg === 'boot-install failed')).toBe(true);
    expect(await program.json(['list'])).toHaveLength(2);
  });
});
