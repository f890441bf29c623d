/** Commands that look at a root, in this process, as on a terminal. */
import { appendFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, test } from 'vitest';

import { TOKEN, scratch, startTestAgent } from '../_kit/agent.ts';
import { install, makeRoot, writeFiles, yamlOf } from '../_kit/loader-root.ts';
import { deliver, makeRoom, yamlOf as roomYaml } from '../_kit/install-room.ts';
import { file, gzip, symlink, tar } from '../_kit/tar-builder.ts';
import { inProcess } from '../_kit/two-ways.ts';

describe.each(['list', 'verify', 'watch', 'status', 'restarted'])('airlock %s', (name) => {
  it('takes a root that is no directory for a mistake', async () => {
    const { root } = await makeRoot();
    await writeFiles(root, { file: '' });
    const { code, text } = await inProcess([name, '--root', join(root, 'file')]);
    expect([code, text]).toEqual([
      1,
      expect.stringMatching(/file" cannot be read: ENOTDIR.*\n {2}what to do: /),
    ]);
  });
});

test.each(['pack', 'push'])('airlock %s ends at Ctrl-C while it packs', async (name) => {
  const folder = await scratch();
  await writeFiles(folder, { 'lint/plugin.yaml': yamlOf('lint') });
  const more = name === 'pack' ? ['--out', join(folder, 'lint.tgz')] : ['--to', 'ws://127.0.0.1:1'];
  const words = [name, join(folder, 'lint'), ...more];
  const { code, text } = await inProcess(words, { AIRLOCK_TOKEN: TOKEN }, AbortSignal.abort());
  expect([code, text]).toEqual([130, expect.stringContaining('Packing was stopped')]);
  expect(await readdir(folder)).toEqual(['lint']);
});

test('airlock watch --polling is refused where an agent is asked', async () => {
  const { code, text } = await inProcess(['watch', '--polling', '--to', 'ws://127.0.0.1:1']);
  expect(code).toBe(2);
  expect(text).toContain('why: --polling works only with --root, not with an agent\n');
});

describe('airlock list', () => {
  it('shows what another gate would admit, from the disk and from an agent', async () => {
    const { port, layout } = await startTestAgent();
    await writeFiles(layout.live('half'), { 'plugin.yaml': yamlOf('half') });
    await install(layout, 'lint');
    await appendFile(join(layout.live('lint'), 'plugin.yaml'), '# more\n');
    for (const target of [
      ['--root', layout.root],
      ['--to', `ws://127.0.0.1:${port}`],
    ]) {
      const words = ['list', '--mode', 'warn', '--verify', 'stat', ...target];
      const { text } = await inProcess(words, { AIRLOCK_TOKEN: TOKEN });
      expect(text).toMatch(/\nhalf .* unmarked\s*\nlint .* refused: digest-mismatch/);
      expect(text).toContain('lint: It is not as it was installed: "plugin.yaml" is modified\n');
    }
  });

  it('says how many links of a bundle were left out', async () => {
    const room = makeRoom();
    const links = [symlink('gone', '/etc/passwd'), symlink('gone-too', 'nowhere')];
    await deliver(room, gzip(tar(file('plugin.yaml', roomYaml()), ...links)));
    const { text } = await inProcess(['list', '--root', room.layout.root]);
    expect(text).toContain('lint: 2 links of its bundle were left out\n');
  });

  it('refuses what is no mode, whoever is asked', async () => {
    const { root } = await makeRoot();
    for (const target of [
      ['--root', root],
      ['--to', 'ws://127.0.0.1:1'],
    ]) {
      const { code, text } = await inProcess(['list', '--mode', 'lenient', ...target]);
      expect([code, text]).toEqual([2, expect.stringContaining('what to do: See "airlock list --help"')]);
    }
  });

  it('ends at Ctrl-C', async () => {
    const { root } = await makeRoot();
    expect(await inProcess(['list', '--root', root], {}, AbortSignal.abort())).toMatchObject({ code: 130 });
  });
});

describe('airlock verify --root', () => {
  it('names the files that were edited in place, and does not send people to itself', async () => {
    const layout = await makeRoot();
    await install(layout, 'lint');
    await appendFile(join(layout.live('lint'), 'plugin.yaml'), '# more\n');
    const { code, text } = await inProcess(['verify', 'lint', '--root', layout.root]);
    expect(code).toBe(1);
    expect(text).toMatch(/^drifted {3}lint: It is not as it was installed: "plugin\.yaml" is modified\n/);
    expect(text).toMatch(/what to do: .*install again/);
    expect(text).not.toContain('airlock verify');
  });

  it('says of a name that is not there what an agent says', async () => {
    const { root } = await makeRoot();
    const { code, text } = await inProcess(['verify', 'lint', '--root', root]);
    expect(code).toBe(1);
    expect(text).toMatch(/\(NOT_FOUND\)\n {2}why: There is no plugin "lint" here/);
  });

  it('goes by name, and says why of a plugin nobody knows whether it is intact', async () => {
    const layout = await makeRoot();
    await install(layout, 'lint');
    await writeFiles(layout.live('half'), { 'plugin.yaml': 'name: half' });
    await writeFiles(layout.live('touched'), { 'plugin.yaml': yamlOf('touched'), '.complete': '' });
    const { text } = await inProcess(['verify', '--root', layout.root]);
    expect(text.split('\n').filter((line) => !line.includes('what to do'))).toEqual([
      expect.stringMatching(/^refused {3}half: /),
      'intact    lint',
      'unknown   touched: There is no receipt to compare its files with',
      '',
    ]);
    expect(text).toContain('what to do: Install "touched" again to have one\n');
  });
});

test.each(['--root', '--to'])('airlock verify of what is no name is a mistake, with %s', async (where) => {
  const { root } = await makeRoot();
  const target = where === '--root' ? root : 'ws://127.0.0.1:1';
  const { code, text } = await inProcess(['verify', 'No_Name', where, target]);
  expect([code, text]).toEqual([
    2,
    expect.stringContaining('why: "No_Name" is not a plugin name\n  what to do: '),
  ]);
});

test('an address with a path that is none of an agent is said, with what to do', async () => {
  const { port } = await startTestAgent();
  const { code, text } = await inProcess(['list', '--to', `ws://127.0.0.1:${port}/agent`], {
    AIRLOCK_TOKEN: TOKEN,
  });
  expect([code, text]).toEqual([
    1,
    expect.stringMatching(/why: There is nothing at this path\n {2}what to do: Connect to \/v1\/connect/),
  ]);
});

test('airlock status says which command tells more', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await appendFile(join(layout.live('lint'), 'plugin.yaml'), '# more\n');
  await writeFiles(layout.live('half'), { 'plugin.yaml': 'name: half' });
  const { text } = await inProcess(['status', '--root', layout.root]);
  expect(text).toContain('1 admitted, 1 refused; see "airlock list"\n');
  expect(text).toContain('1 plugin with files edited in place; see "airlock verify"\n');
});
