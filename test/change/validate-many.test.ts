import { expect, it } from 'vitest';

import { validate } from '../../agent/change/validate.ts';
import { paramsOf, yamlOf } from '../_kit/install-room.ts';
import { accepted } from '../_kit/staging.ts';
import { file, tar } from '../_kit/tar-builder.ts';

// Was a bug: "Maximum call stack size exceeded".
it('has more findings than a call can have arguments', () => {
  const bytes = tar(file('plugin.yaml', yamlOf()));
  const { room, slot, staged } = accepted(bytes, { links: 'copy' });
  const directories = Array.from({ length: 80_000 }, (_, i) => `e\u0301?${i}`);
  const { findings } = validate(room.context, slot, { ...staged, directories }, paramsOf(bytes));
  expect(findings.length).toBe(160_000);
});

it('tells how much was not read, and no notes about single files', () => {
  const bytes = tar(
    file('plugin.yaml', yamlOf()),
    file('rules/a.md', 'x'.repeat(300 * 1024)),
    file('a.py', '#!/usr/bin/env python3\n'),
  );
  const { room, slot, staged } = accepted(bytes, { links: 'copy' });
  const { findings } = validate(room.context, slot, staged, paramsOf(bytes));
  expect(findings).toMatchObject([{ rule: 'not-checked', path: '' }]);
});
