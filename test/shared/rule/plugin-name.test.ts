import { expect, test } from 'vitest';

import { namePlugin } from '../../../shared/rule/plugin-name.ts';

test('the name of the manifest counts, and the one that is asked for must be the same', () => {
  expect(namePlugin({ file: 'plugin.yaml', name: 'lint' }, undefined)).toEqual({ ok: true, name: 'lint' });
  expect(namePlugin({ file: 'SKILL.md', name: 'lint' }, 'lint')).toEqual({ ok: true, name: 'lint' });
  for (const file of ['plugin.yaml', 'SKILL.md'] as const) {
    expect(namePlugin({ file, name: 'lint' }, 'other')).toMatchObject({
      code: 'MANIFEST_MISMATCH',
      hint: expect.stringContaining('Install it as "lint"'),
    });
  }
});

test('before the name of a SKILL.md that is one for people, the name that is asked for counts', () => {
  const manifest = { file: 'SKILL.md', name: 'Writing Hookify Rules' } as const;
  expect(namePlugin(manifest, 'hookify')).toEqual({ ok: true, name: 'hookify' });
  expect(namePlugin(manifest, undefined)).toMatchObject({
    code: 'MANIFEST_INVALID',
    hint: expect.stringContaining('--name writing-hookify-rules'),
  });
});

test.each([undefined, 'writing-hookify-rules'])(
  'another manifest must have a plugin name, and is told a near one (asked for: %s)',
  (asked) => {
    const file = '.claude-plugin/plugin.json';
    const naming = namePlugin({ file, name: 'Writing Hookify Rules' }, asked);
    expect(naming).toMatchObject({
      code: asked === undefined ? 'MANIFEST_INVALID' : 'MANIFEST_MISMATCH',
      why: expect.stringContaining('not a plugin name'),
      hint: expect.stringMatching(/"writing-hookify-rules" in the manifest: .*a-z/),
    });
    expect(naming.ok ? '' : naming.hint).not.toMatch(/Install it|--name/);
  },
);

test('where no character can stay, no name is proposed', () => {
  expect(namePlugin({ file: 'plugin.yaml', name: '日本' }, undefined)).toMatchObject({
    hint: expect.stringMatching(/^Correct the name in the manifest: /),
  });
});
