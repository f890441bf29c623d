import { expect, it } from 'vitest';

import { findingLines } from '../../cli/findings.ts';
import { painter } from '../../cli/render.ts';
import { finding } from '../../shared/rule/plugin/finding.ts';

// Was a bug: all findings were looked through again for each path, which took minutes.
it('the findings of a path come together, however many paths there are', () => {
  const paths = Array.from({ length: 100_000 }, (_, i) => `rules/${i}.md`);
  const findings = [...paths, ...paths].map((path) => finding('script-crlf', path, 'it is so'));
  const lines = findingLines(findings, painter(false));
  expect(lines.length).toBe(400_000);
  expect(lines.slice(0, 6).map((line) => line.split('  ')[0])).toEqual([
    'rules/0.md',
    '',
    'rules/0.md',
    '',
    'rules/1.md',
    '',
  ]);
});
