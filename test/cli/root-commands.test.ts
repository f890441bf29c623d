/** Commands that look at a root, in this process, as on a terminal. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, test } from 'vitest';

import { install, makeRoot, writeFiles } from '../_kit/loader-root.ts';
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

test.each([
  ['list', '--mode', 'warn'],
  ['list', '--verify', 'stat'],
  ['watch', '--polling'],
])('airlock %s %s is refused where an agent is asked', async (...words) => {
  const { code, text } = await inProcess([...words, '--to', 'ws://127.0.0.1:1']);
  expect(code).toBe(2);
  expect(text).toContain(`why: ${words[1]} is for the disk, and an agent is asked\n`);
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
});
