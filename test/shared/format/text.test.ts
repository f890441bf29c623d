import { expect, test } from 'vitest';

import { textIn } from '../../../shared/format/text.ts';

test('a byte order mark at the beginning is not part of a text', () => {
  expect(textIn(Buffer.from('\uFEFFa\uFEFF'))).toEqual({ kind: 'text', text: 'a\uFEFF' });
  expect(textIn(Buffer.from('\uFEFF'))).toEqual({ kind: 'text', text: '' });
  expect(textIn(Buffer.from('é'))).toEqual({ kind: 'text', text: 'é' });
  expect(textIn(Buffer.alloc(0))).toEqual({ kind: 'text', text: '' });
});

test.each([
  ['little-endian', Buffer.from('\uFEFFname: a', 'utf16le')],
  ['big-endian', Buffer.from('\uFEFFname: a', 'utf16le').swap16()],
])('UTF-16 is named: %s', (_, bytes) => {
  expect(textIn(bytes)).toEqual({ kind: 'unreadable', why: expect.stringContaining('UTF-16') });
});
