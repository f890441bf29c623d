import { expect, test } from 'vitest';

import { readParams } from '../../shared/api/methods.ts';

test('a key that somebody else has made up does not break the line', () => {
  expect(() => readParams('plugin.get', { plugin: 'lint', 'one\n  two': 1 })).toThrow(
    'The parameters of "plugin.get" are not valid: Unrecognized key: "one two"',
  );
});
