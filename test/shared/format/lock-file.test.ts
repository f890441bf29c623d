import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { type Declared, readLockFile, withPlugin, writeLockFile } from '../../../shared/format/lock-file.ts';

const TREE = `sha256:${'a'.repeat(64)}`;
const BUNDLE = `sha256:${'b'.repeat(64)}`;
const lint: Declared = {
  name: 'lint',
  version: '1.2.0',
  tree: TREE,
  bundle: BUNDLE,
  source: 'https://x/lint.tgz',
};

const file = (plugins: unknown, more: object = {}): string =>
  JSON.stringify({ version: 1, plugins, ...more });
const wrong = (text: string): string => {
  const read = readLockFile(text);
  return read.ok ? '' : read.why;
};

describe('a lock file', () => {
  test('has one plugin a line, sorted, with its fields in one order', () => {
    const { name, version, tree, bundle, source } = lint;
    const shuffled = { source, bundle, tree, version, name };
    expect(writeLockFile([shuffled, { tree: TREE, name: 'a.b' }])).toBe(
      `{"version":1,"plugins":[
{"name":"a.b","tree":"${TREE}"},
{"name":"lint","version":"1.2.0","tree":"${TREE}","bundle":"${BUNDLE}","source":"https://x/lint.tgz"}
]}
`,
    );
    expect(writeLockFile([])).toBe('{"version":1,"plugins":[]}\n');
  });

  test('is the same for the same plugins, in whatever order they come, and says what was written', () => {
    const line = fc.record(
      {
        name: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,9}$/),
        tree: fc.constant(TREE),
        version: fc.string({ maxLength: 20 }),
        bundle: fc.constant(BUNDLE),
        source: fc.string({ minLength: 1, maxLength: 20 }),
      },
      { requiredKeys: ['name', 'tree'] },
    );
    const plugins = fc.uniqueArray(line, { maxLength: 8, selector: ({ name }) => name });
    fc.assert(
      fc.property(plugins, (some) => {
        const text = writeLockFile(some);
        expect(writeLockFile(some.toReversed())).toBe(text);
        const read = readLockFile(text);
        expect(read.ok && writeLockFile(read.plugins)).toBe(text);
        expect(text.split('\n')).toHaveLength(some.length === 0 ? 2 : some.length + 3);
      }),
    );
  });

  test('has one line for each plugin', () => {
    const newer = { ...lint, version: '2.0.0' };
    expect(withPlugin([lint, { name: 'a', tree: TREE }], newer)).toEqual([{ name: 'a', tree: TREE }, newer]);
  });

  test.each([
    ['no JSON', 'torn', /^it is not JSON: /],
    [
      'another version',
      JSON.stringify({ version: 2, plugins: [] }),
      /^version: must be 1; another version may need/,
    ],
    ['a line twice', file([lint, lint]), /^it names "lint" twice$/],
    [
      'no digest',
      file([{ name: 'lint', version: '1.2.0' }]),
      /^plugins\.0: must have a "tree" or a "bundle"$/,
    ],
    ['a field that nobody knows', file([{ ...lint, sha256: 'x' }]), /^plugins\.0: .*"sha256"/],
    ['no name of a plugin', file([{ ...lint, name: '../x' }]), /^plugins\.0\.name: must begin with/],
    ['a digest that is none', file([{ ...lint, tree: 'abc' }]), /^plugins\.0\.tree: must be "sha256:"/],
    [
      'too many',
      file(Array.from({ length: 1001 }, (_, i) => ({ ...lint, name: `p${i}` }))),
      /^plugins: .*1000/,
    ],
  ])('with %s is refused with the reason', (_, text, why) => {
    expect(wrong(text)).toMatch(why);
  });
});
