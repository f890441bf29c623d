import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  type Found,
  type Policy,
  hintFor,
  judge,
  refusalReasons,
  refuse,
} from '../../../shared/rule/admission.ts';

const STAMP = '20260508T141530123Z-9f86d081';
const newer = (plugin: string): string => JSON.stringify({ version: 2, plugin, installId: STAMP });
const POLICY: Policy = { mode: 'enforce', runtime: undefined, manifest: 'required' };
const GOOD: Found = {
  name: 'lint',
  entry: 'directory',
  marker: { kind: 'text', text: newer('lint') },
  manifest: { file: 'plugin.yaml', reading: { kind: 'text', text: 'name: lint\nruntimes: [claude-code]' } },
  disabled: false,
  unsynced: false,
};

const verdict = (changes: Partial<Found>, policy: Partial<Policy> = {}): string => {
  const judgement = judge({ ...GOOD, ...changes }, { ...POLICY, ...policy });
  return judgement.admitted ? judgement.level : judgement.reason;
};

test('what is whole and well described is verified', () => {
  expect(judge(GOOD, POLICY)).toMatchObject({
    admitted: true,
    name: 'lint',
    level: 'verified',
    installId: STAMP,
    manifest: { name: 'lint' },
    warnings: [],
  });
});

test.each<[string, Partial<Found>, Partial<Policy>]>([
  ['unverified', { marker: { kind: 'text', text: '' } }, {}],
  ['marker-invalid', { marker: { kind: 'text', text: '' }, unsynced: true }, {}],
  ['marker-invalid', { marker: { kind: 'text', text: '' }, unsynced: true }, { mode: 'warn' }],
  ['verified', { unsynced: true }, {}],
  ['unmarked', { marker: { kind: 'absent' } }, { mode: 'warn' }],
  ['no-marker', { marker: { kind: 'absent' } }, {}],
  ['marker-invalid', { marker: { kind: 'text', text: ' ' } }, { mode: 'warn' }],
  ['marker-foreign', { marker: { kind: 'text', text: newer('other') } }, { mode: 'warn' }],
  ['unreadable', { marker: { kind: 'unreadable', why: 'EIO' } }, { mode: 'warn' }],
  ['manifest-missing', { manifest: undefined }, {}],
  ['verified', { manifest: undefined }, { manifest: 'optional' }],
  [
    'manifest-invalid',
    { manifest: { file: 'SKILL.md', reading: { kind: 'text', text: '' } } },
    { manifest: 'optional' },
  ],
  [
    'unreadable',
    { manifest: { file: 'SKILL.md', reading: { kind: 'unreadable', why: 'EIO' } } },
    { manifest: 'optional' },
  ],
  ['verified', {}, { runtime: 'claude_code' }],
  ['runtime-unsupported', {}, { runtime: 'hermes' }],
  ['disabled', { disabled: true }, { mode: 'warn' }],
  ['symlink', { entry: 'symlink' }, {}],
  ['not-a-directory', { entry: 'other' }, {}],
  ['not-a-directory', { entry: 'absent', disabled: true }, {}],
  ['unreadable', { entry: 'unreadable' }, {}],
])('%s: %j under %j', (expected, changes, policy) => {
  expect(verdict(changes, policy)).toBe(expected);
});

test('the marker is judged before the manifest: half a copy has no manifest to complain of', () => {
  expect(verdict({ marker: { kind: 'absent' }, manifest: undefined })).toBe('no-marker');
});

describe('every refusal', () => {
  test.each(refusalReasons)('%s has a hint and says what happened, without a full stop', (reason) => {
    const { admitted, hint, detail } = refuse('lint', reason, 'It is so');
    expect({ admitted, detail }).toEqual({ admitted: false, detail: 'It is so' });
    expect(hint).toBe(hintFor(reason, 'lint'));
    expect(hint).toMatch(/^[A-Z].*[^.]$/);
  });

  test('speaks of runtimes in one spelling', () => {
    const judgement = judge(GOOD, { ...POLICY, runtime: 'Deep-Agents' });
    expect(judgement).toMatchObject({ detail: 'It runs on claude_code, but this runtime is deep_agents' });
  });
});

test('whatever is found, the judgement is made, and without a whole marker nothing is verified', () => {
  const reading = fc.oneof(
    fc.record({
      kind: fc.constant('text' as const),
      text: fc.oneof(fc.constantFrom('', newer('lint')), fc.string()),
    }),
    fc.constant({ kind: 'absent' as const }),
    fc.constant({ kind: 'unreadable' as const, why: 'EIO' }),
  );
  const found = fc.record({
    name: fc.constant('lint'),
    entry: fc.constantFrom<Found['entry']>('directory', 'symlink', 'other', 'absent', 'unreadable'),
    marker: reading,
    manifest: fc.option(fc.record({ file: fc.constant('plugin.yaml' as const), reading }), {
      nil: undefined,
    }),
    disabled: fc.boolean(),
    unsynced: fc.boolean(),
  });
  const policy = fc.record<Policy>({
    mode: fc.constantFrom('enforce', 'warn'),
    runtime: fc.constantFrom(undefined, 'hermes'),
    manifest: fc.constantFrom('required', 'optional'),
  });
  fc.assert(
    fc.property(found, policy, (given, under) => {
      const judgement = judge(given, under);
      if (!judgement.admitted) return;
      expect(given).toMatchObject({ entry: 'directory', disabled: false });
      const whole = given.marker.kind === 'text' && given.marker.text === newer('lint');
      expect(judgement.level === 'verified').toBe(whole);
      if (judgement.level === 'unmarked') expect(under.mode).toBe('warn');
    }),
  );
});
