import { expect, test } from 'vitest';

import { manifestElsewhere, manifestsBelow } from '../../../shared/rule/manifest-places.ts';

test('one manifest is told by its place, whatever is inside its plugin', () => {
  const paths = ['README.md', 'a/b/c/plugin.yaml', 'a/b/c/skills/x/SKILL.md', 'a/b/d.md'];
  expect(manifestElsewhere('The bundle', paths)).toEqual({
    why: 'The bundle has no manifest at its top; it is at "a/b/c/plugin.yaml"',
    hint: 'Push the directory "a/b/c", or pack it from there',
  });
});

test('several are counted, and the first five named', () => {
  const paths = [1, 2, 3, 4, 5, 6, 7].map((n) => `plugins/p${n}/.claude-plugin/plugin.json`);
  expect(manifestElsewhere('The directory', paths)?.why).toBe(
    'The directory is no plugin but holds 7: "plugins/p1", "plugins/p2", "plugins/p3", "plugins/p4", "plugins/p5" and 2 more',
  );
});

test('a directory is named once, by its first manifest, and none at the top counts', () => {
  expect(manifestsBelow(['a/plugin.yaml', 'a/SKILL.md', 'plugin.yaml', 'ab/SKILL.md'])).toEqual([
    { place: 'a', file: 'plugin.yaml' },
    { place: 'ab', file: 'SKILL.md' },
  ]);
  expect(manifestElsewhere('The directory', ['README.md', 'SKILL.md'])).toBeUndefined();
});
