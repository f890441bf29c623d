import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openBundle } from '../../client/bundle.ts';

let base: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'airlock-bundle-test-'));
});
afterEach(() => rm(base, { recursive: true, force: true }));

/** Packs with GNU tar, in the order given. */
async function bundle(contents: Record<string, string | Buffer>, flags: string[] = ['-z']): Promise<string> {
  const from = join(base, 'from');
  await mkdir(from, { recursive: true });
  for (const [path, text] of Object.entries(contents)) {
    await mkdir(dirname(join(from, path)), { recursive: true });
    await writeFile(join(from, path), text);
  }
  const file = join(base, 'bundle.tgz');
  execFileSync('tar', [...flags, '-cf', file, '-C', from, ...Object.keys(contents)]);
  return file;
}

const named = async (contents: Record<string, string>, flags?: string[]): Promise<string> =>
  (await openBundle(await bundle(contents, flags))).plugin;

const yaml = (name: string): string => `name: ${name}\nversion: 1.0.0\n`;
const AGENT_PLUGIN =
  '{"$schema":"https://agent-plugins.org/schemas/1.0.0/plugin.schema.json","name":"agent"}';
const skill = (name: string): string => `---\nname: ${name}\ndescription: d\n---\n`;

describe('the name of a bundle', () => {
  it.each([
    ['at its top', { 'rules/a.md': '', 'plugin.yaml': yaml('lint') }, 'lint'],
    ['below one directory', { 'package/rules/a.md': '', 'package/plugin.yaml': yaml('lint') }, 'lint'],
    ['below two', { 'plugins/lint/rules/a.md': '', 'plugins/lint/plugin.yaml': yaml('lint') }, 'lint'],
    ['behind ./', { './plugin.yaml': yaml('lint') }, 'lint'],
    ['of Claude Code', { '.claude-plugin/plugin.json': '{"name":"claude"}', 'README.md': '' }, 'claude'],
    [
      'of Agent Plugins',
      {
        '.claude-plugin/plugin.json': '{"name":"claude"}',
        'plugin.json': AGENT_PLUGIN,
        'SKILL.md': skill('one'),
      },
      'agent',
    ],
    [
      'of Claude Code beside another plugin.json',
      { 'plugin.json': '{"name":"x"}', '.claude-plugin/plugin.json': '{"name":"claude"}' },
      'claude',
    ],
    ['of a skill', { 'SKILL.md': skill('one'), 'x/SKILL.md': skill('two') }, 'one'],
    ['plugin.yaml before the others', { 'SKILL.md': skill('two'), 'plugin.yaml': yaml('lint') }, 'lint'],
    [
      'at the top before deeper ones',
      { 'skills/a/SKILL.md': skill('a'), 'sub/plugin.yaml': yaml('b'), 'SKILL.md': skill('top') },
      'top',
    ],
  ])('is in the manifest %s', async (_, contents, name) => {
    expect(await named(contents)).toBe(name);
  });

  it('is found behind long names and in an archive that is not compressed', async () => {
    const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
    expect(await named({ [`p/${long}`]: '', 'p/plugin.yaml': yaml('lint') }, ['--format=gnu'])).toBe('lint');
    expect(await named({ [`p/${long}`]: '', 'p/plugin.yaml': yaml('lint') }, ['-z', '--format=pax'])).toBe(
      'lint',
    );
  });

  it('is not guessed from a manifest beside other things', async () => {
    const file = await bundle({ 'a/plugin.yaml': yaml('a'), 'b/plugin.yaml': yaml('b') });
    await expect(openBundle(file)).rejects.toMatchObject({
      code: 'MANIFEST_MISSING',
      message: `"${file}" is no plugin but holds 2: "a", "b"`,
    });
  });

  it('is what the caller says, and then nothing is unpacked', async () => {
    const file = join(base, 'x.tgz');
    await writeFile(file, 'no archive\0');
    expect(await openBundle(file, { name: 'lint' })).toEqual({
      plugin: 'lint',
      file,
      size: 11,
      sha256: createHash('sha256').update('no archive\0').digest('hex'),
    });
    await expect(openBundle(file, { name: '../x' })).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
  });

  it('is found behind a byte order mark, and UTF-16 is named', async () => {
    expect(await named({ '.claude-plugin/plugin.json': '\uFEFF{"name":"lint"}' })).toBe('lint');
    const file = await bundle({ 'plugin.yaml': Buffer.from(`\uFEFF${yaml('lint')}`, 'utf16le') });
    await expect(openBundle(file)).rejects.toMatchObject({ message: expect.stringContaining('UTF-16') });
  });

  it('of a skill with a name for people is what the caller says', async () => {
    const file = await bundle({ 'SKILL.md': skill('Lint My Code') });
    expect((await openBundle(file, { name: 'lint' })).plugin).toBe('lint');
    await expect(openBundle(file)).rejects.toMatchObject({
      hint: expect.stringContaining('--name lint-my-code'),
    });
  });

  it('must be a plugin name', async () => {
    const file = await bundle({ 'plugin.yaml': yaml('"../../x"') });
    await expect(openBundle(file)).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
  });

  it('is not found in a file that is cut, and that is said', async () => {
    const file = await bundle({ 'rules/a.md': 'a'.repeat(3000), 'plugin.yaml': yaml('lint') });
    await writeFile(file, (await readFile(file)).subarray(0, 60));
    await expect(openBundle(file)).rejects.toMatchObject({
      code: 'ARCHIVE_CORRUPT',
      message: expect.stringContaining('is cut off'),
    });
  });

  it.each([
    ['a text file', Buffer.from('x\n'.repeat(2500))],
    ['a file of zip', Buffer.from('PK\u0003\u0004rest')],
    ['a file of xz', Buffer.from('fd377a585a0000', 'hex')],
    ['a file of bzip2', Buffer.from('BZh91AY')],
  ])('is not looked for in %s', async (what, bytes) => {
    const file = join(base, 'x.tgz');
    await writeFile(file, bytes);
    for (const name of [undefined, 'lint']) {
      await expect(openBundle(file, { name })).rejects.toMatchObject({
        code: 'ARCHIVE_CORRUPT',
        message: `"${file}" is ${what}, and no .tgz`,
        hint: expect.stringContaining('airlock pack'),
      });
    }
  });

  it('is asked for where the bundle is compressed with zstd', async () => {
    const file = join(base, 'x.tgz');
    await writeFile(file, Buffer.from('28b52ffd00000000', 'hex'));
    await expect(openBundle(file)).rejects.toMatchObject({ hint: expect.stringContaining('--name') });
    expect(await openBundle(file, { name: 'lint' })).toMatchObject({ plugin: 'lint', size: 8 });
  });
});

it('refuses a bundle that is empty or not there', async () => {
  const file = join(base, 'x.tgz');
  await expect(openBundle(file)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await writeFile(file, '');
  await expect(openBundle(file)).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
});
