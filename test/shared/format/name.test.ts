import fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  digestSchema,
  isPluginName,
  slugOf,
  makeStamp,
  operationIdSchema,
  parseSlotName,
  sha256Schema,
  slotName,
  stampMillis,
  stampSchema,
} from '../../../shared/format/name.ts';

test.each(['a', '0', 'lint', 'my-plugin_2.0', 'a.b.c', 'a.', 'a'.repeat(128)])('"%s" is a name', (name) => {
  expect(isPluginName(name)).toBe(true);
});

test.each([
  '',
  '.',
  '..',
  '.a',
  '-a',
  '_a',
  'A',
  'a/b',
  'a\\b',
  'a..b',
  'a...',
  'a b',
  'a\n',
  'a\0',
  'ä',
  'ſ',
  'lost+found',
  'a'.repeat(129),
])('%j is no name', (name) => {
  expect(isPluginName(name)).toBe(false);
});

test('a stamp is made of the moment in UTC and the first eight digits of the bundle', () => {
  const bundle = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
  const stamp = makeStamp(Date.UTC(2026, 4, 8, 14, 15, 30, 123), bundle);
  expect(stamp).toBe('20260508T141530123Z-9f86d081');
  expect(stampMillis(stamp)).toBe(Date.UTC(2026, 4, 8, 14, 15, 30, 123));
});

const moment = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) });
const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,127}$/).filter(isPluginName);

test('every stamp names its moment, and stamps sort as their moments do', () => {
  fc.assert(
    fc.property(moment, moment, (a, b) => {
      const [one, two] = [makeStamp(a, 'f'.repeat(64)), makeStamp(b, 'f'.repeat(64))];
      expect(stampSchema.safeParse(one).success).toBe(true);
      expect(stampMillis(one)).toBe(a);
      expect(one < two).toBe(a < b);
    }),
  );
});

test('a slot name is taken apart again, though names hold dots', () => {
  fc.assert(
    fc.property(name, moment, (plugin, millis) => {
      const stamp = makeStamp(millis, '0a'.repeat(32));
      expect(parseSlotName(slotName(plugin, stamp))).toEqual({ plugin, stamp });
    }),
  );
});

test.each([
  '20260508T141530123Z-9f86d081',
  '.20260508T141530123Z-9f86d081',
  'Lint.20260508T141530123Z-9f86d081',
  '../x.20260508T141530123Z-9f86d081',
  'lint.20260508T141530123Z-9f86d081.json',
  'lint.20260508T141530123Z-9F86D081',
  'lint.old',
])('"%s" is no slot name', (entry) => {
  expect(parseSlotName(entry)).toBeUndefined();
});

test('digests are lower-case hex of the right length, with their algorithm where that is asked for', () => {
  const hex = 'ab'.repeat(32);
  expect(sha256Schema.safeParse(hex).success).toBe(true);
  expect(digestSchema.safeParse(`sha256:${hex}`).success).toBe(true);
  for (const bad of [hex.toUpperCase(), hex.slice(1), `${hex}0`, `sha256:${hex}`]) {
    expect(sha256Schema.safeParse(bad).success).toBe(false);
  }
  for (const bad of [hex, `SHA256:${hex}`, `sha512:${hex}`, `sha256:${hex}\n`]) {
    expect(digestSchema.safeParse(bad).success).toBe(false);
  }
});

test('the id of an operation is a safe file name', () => {
  for (const good of ['operation-1', '0199d0a0-aaaa-7bbb-8ccc-0123456789ab']) {
    expect(operationIdSchema.safeParse(good).success).toBe(true);
  }
  for (const bad of [
    'short',
    '../../../x',
    'a'.repeat(65),
    '-leading-dash',
    'with.dot.in.it',
    'new\nline1',
  ]) {
    expect(operationIdSchema.safeParse(bad).success).toBe(false);
  }
});

test.each([
  ['Writing Hookify Rules', 'writing-hookify-rules'],
  ['  PDF / Tools! ', 'pdf-tools'],
  ['_private_', 'private'],
  ['Crème Brûlée', 'creme-brulee'],
  ['a..b', 'a.b'],
  ['../x', 'x'],
  ['x'.repeat(300), 'x'.repeat(128)],
  ['日本', undefined],
  ['', undefined],
])('the plugin name that is nearest to %j is %j', (text, slug) => {
  expect(slugOf(text)).toBe(slug);
});

test('a slug is a plugin name, and a plugin name its own slug but for signs at its end', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const slug = slugOf(text);
      expect(slug === undefined || isPluginName(slug)).toBe(true);
    }),
  );
  fc.assert(
    fc.property(name, (one) => {
      expect(slugOf(one)).toBe(one.replace(/[._-]+$/, ''));
    }),
  );
});
