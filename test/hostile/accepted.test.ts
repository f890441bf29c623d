import { describe, expect, it } from 'vitest';

import { Fortress, MANIFEST } from '../_kit/fortress.ts';
import { yamlOf } from '../_kit/install-room.ts';
import { directory, entry, file, globalPax, gzip, longName, pax, tar } from '../_kit/tar-builder.ts';

const fortress = Fortress.forAll();
const LONG = `rules/${'long-'.repeat(30)}/a.md`;
const V7 = { magic: '\0'.repeat(6), version: '\0\0', type: '\0' };
/** As Go's writer makes headers of a FileInfoHeader: devices and names of owners are written, times are whole. */
const GO = { uname: 'builder', gname: 'builder', devmajor: 0, devminor: 0 };

const ACCEPTED: [what: string, live: string[], bytes: Buffer, warnings?: RegExp[]][] = [
  [
    "Go's FileInfoHeader output, as USTAR",
    ['hooks/run', 'plugin.yaml'],
    tar(
      file('plugin.yaml', yamlOf(), GO),
      directory('hooks/', GO),
      file('hooks/run', 'x', { ...GO, mode: 0o755 }),
    ),
  ],
  [
    "Go's FileInfoHeader output, as PAX with times",
    [LONG, 'plugin.yaml'],
    tar(
      pax(
        { atime: '1700000000.25', ctime: '1700000000.25', mtime: '1700000000.25' },
        { name: 'PaxHeaders.0/plugin.yaml' },
      ),
      file('plugin.yaml', yamlOf(), GO),
      pax({ mtime: '1700000000.25', path: LONG }, { name: 'PaxHeaders.0/SKILL.md' }),
      file(LONG.slice(0, 100), 'x', GO),
    ),
  ],
  [
    'a ./ prefix',
    ['a', 'plugin.yaml'],
    tar(directory('./'), file('./plugin.yaml', yamlOf()), file('./a', 'x')),
  ],
  [
    'v7 headers',
    ['d/a', 'plugin.yaml'],
    tar(entry({ ...V7, name: 'd/' }), file('d/a', 'x', V7), file('plugin.yaml', yamlOf(), V7)),
  ],
  ['numeric names', ['1', '2/3', 'plugin.yaml'], tar(MANIFEST, file('1', 'x'), file('2/3', 'x'))],
  ['a g header with only a comment', ['plugin.yaml'], tar(globalPax({ comment: 'a'.repeat(40) }), MANIFEST)],
  ['GNU L long names', ['plugin.yaml', LONG], tar(MANIFEST, longName(LONG), file(LONG.slice(0, 100), 'x'))],
  ['pax long names', ['plugin.yaml', LONG], tar(MANIFEST, pax({ path: LONG }), file('short', 'x'))],
  ['a pax size that agrees', ['a', 'plugin.yaml'], tar(MANIFEST, pax({ size: '3' }), file('a', 'xyz'))],
  ['a top directory package/', ['plugin.yaml'], tar(file('package/plugin.yaml', yamlOf()))],
  ['a top directory <repo>-<sha>/', ['plugin.yaml'], tar(file('lint-0a1b2c3/plugin.yaml', yamlOf()))],
  ['top directories plugins/<name>/', ['plugin.yaml'], tar(file('plugins/lint/plugin.yaml', yamlOf()))],
  ['multi-member gzip', ['plugin.yaml'], gzip(tar(MANIFEST).subarray(0, 100), tar(MANIFEST).subarray(100))],
  [
    'setgid directories',
    ['d/a', 'plugin.yaml'],
    tar(MANIFEST, directory('d/', { mode: 0o2775 }), file('d/a', 'x')),
  ],
  [
    '.complete at the root',
    ['plugin.yaml'],
    tar(MANIFEST, file('.complete', 'forged')),
    [/^\.complete: .*left out/],
  ],
  [
    'ignored names',
    ['plugin.yaml'],
    tar(MANIFEST, directory('hooks/__pycache__/'), file('hooks/__pycache__/a.pyc'), file('.DS_Store')),
    [/__pycache__: it is left out/, /a\.pyc: it is left out/, /\.DS_Store: it is left out/],
  ],
];

describe('must be accepted', () => {
  it.each(ACCEPTED)('%s', async (_what, live, bytes, warnings = []) => {
    const answer = await fortress.accepted(bytes);
    expect(answer.live.toSorted()).toEqual(live.toSorted());
    expect(answer.warnings.items).toEqual(warnings.map((text) => expect.stringMatching(text)));
    await fortress.quiet();
  });
});
