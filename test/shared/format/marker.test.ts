import fc from 'fast-check';
import { expect, test } from 'vitest';

import { type Marker, readMarker, writeMarker } from '../../../shared/format/marker.ts';

const MARKER: Marker = {
  version: 1,
  plugin: 'lint',
  pluginVersion: '1.2.3',
  installId: '20260508T141530123Z-9f86d081',
  bundle: `sha256:${'ab'.repeat(32)}`,
  tree: `sha256:${'cd'.repeat(32)}`,
  files: 3,
  bytes: 21,
  installedAt: '2026-05-08T14:15:30.123Z',
  by: 'platform',
  replaced: null,
};

test('what is written is read again', () => {
  expect(readMarker(writeMarker(MARKER))).toEqual({ kind: 'full', marker: MARKER });
  const more = { ...MARKER, source: 'ci', replaced: '20260507T141530123Z-00000000' };
  expect(readMarker(writeMarker(more))).toEqual({ kind: 'full', marker: more });
});

test('a marker is one line, so that cat shows it well', () => {
  expect(writeMarker(MARKER)).toMatch(/^\{.*\}\n$/);
});

test('unknown keys are ignored', () => {
  expect(readMarker(JSON.stringify({ ...MARKER, later: true }))).toEqual({ kind: 'full', marker: MARKER });
});

test('an empty text is the touch of an operator; white space and NUL bytes are torn writes', () => {
  expect(readMarker('')).toEqual({ kind: 'empty' });
  for (const torn of [' ', '\n', '\0', '\uFEFF']) {
    expect(readMarker(torn)).toEqual({ kind: 'invalid', why: 'it is not JSON' });
  }
});

test('of a newer format plugin and installId suffice', () => {
  const { plugin, installId } = MARKER;
  expect(readMarker(JSON.stringify({ version: 2, plugin, installId, other: [] }))).toEqual({
    kind: 'newer',
    plugin,
    installId,
  });
});

test('what is wrong is said in one line, by its place, and not all of it', () => {
  expect(readMarker(JSON.stringify({ ...MARKER, files: -1, by: 7 }))).toEqual({
    kind: 'invalid',
    why: expect.stringMatching(/^files: [^\n✖→]+; by: [^\n✖→]+$/),
  });
  const { why } = readMarker('{}') as { why: string };
  expect(why).toMatch(/^version: .*; plugin: .*; pluginVersion: .*; and 8 more$/);
});

test.each<[string, unknown]>([
  ['no object', null],
  ['an array', []],
  ['a version of the past', { ...MARKER, version: 0 }],
  ['a version that is none', { ...MARKER, version: '2' }],
  ['a newer one without an installId', { version: 2, plugin: 'lint' }],
  ['a newer one whose installId is a path', { version: 2, plugin: 'lint', installId: '../x' }],
  ['a plugin that is no name', { ...MARKER, plugin: '../lint' }],
  ['a digest without its algorithm', { ...MARKER, tree: 'ab'.repeat(32) }],
  ['a negative count', { ...MARKER, files: -1 }],
  ['no chain', { ...MARKER, replaced: undefined }],
])('invalid: %s', (_, value) => {
  expect(readMarker(JSON.stringify(value))).toMatchObject({
    kind: 'invalid',
    why: expect.not.stringContaining('\n'),
  });
});

test('no beginning of a marker is taken for a whole one', () => {
  const text = writeMarker(MARKER).trimEnd();
  fc.assert(
    fc.property(fc.integer({ min: 1, max: text.length - 1 }), (length) => {
      expect(readMarker(text.slice(0, length)).kind).toBe('invalid');
    }),
  );
});

test('whatever the text, reading it never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(['empty', 'invalid']).toContain(readMarker(text).kind);
    }),
  );
});
