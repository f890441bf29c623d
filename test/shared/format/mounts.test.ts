import { expect, test } from 'vitest';

import { mountsBelow } from '../../../shared/format/mounts.ts';

const line = (point: string): string =>
  `61 42 8:1 /x ${point} rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n`;
const of = (...points: string[]): string => points.map(line).join('');

test('mounts are found below a directory, each once, by their relative paths', () => {
  const text = of('/', '/configs', '/configs/plugins', '/configs/plugins/lint', '/configs/plugins/lint/data');
  expect(mountsBelow(text, '/configs/plugins')).toEqual(['lint', 'lint/data']);
  expect(mountsBelow(text + line('/configs/plugins/lint'), '/configs/plugins')).toEqual([
    'lint',
    'lint/data',
  ]);
});

test('a directory whose name only begins the same is not below', () => {
  expect(mountsBelow(of('/configs/plugins-old/lint', '/configs'), '/configs/plugins')).toEqual([]);
});

test('below the top of all are all others', () => {
  expect(mountsBelow(of('/', '/configs'), '/')).toEqual(['configs']);
});

test('what the kernel writes in octal is read back', () => {
  expect(mountsBelow(of(String.raw`/my\040plugins/a\134b`), '/my plugins')).toEqual([String.raw`a\b`]);
});

test.each(['', '\n', 'what is this', '1 2 3 4'])('a text without mounts has none: %j', (text) => {
  expect(mountsBelow(text, '/configs')).toEqual([]);
});
