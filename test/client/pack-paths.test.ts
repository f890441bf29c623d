import { describe, expect, it } from 'vitest';

import { files, packed, packsInScratch, refused } from './packing.ts';

packsInScratch();

describe('a plugin with paths that no agent accepts is not packed', () => {
  it('and every one of them is named, with the number of its rule', async () => {
    await files({
      'a.md': '',
      'rules/aux.md': '',
      'rules/b:c.md': '',
      'rules/d\\e.md': '',
      'rules/f.md.': '',
      'rules/\u001B[2J.md': '',
      'rules/\u202Etxt.md': '',
      '.staging/x': '',
      '.Complete': '',
    });
    const fault = await refused();
    expect(fault.code).toBe('ARCHIVE_PATH');
    expect(fault.violations.map(({ path, rule }) => [path, rule])).toEqual([
      ['.Complete', 23],
      ['.staging', 23],
      ['.staging/x', 23],
      ['rules/\\u001b[2J.md', 15],
      ['rules/aux.md', 18],
      ['rules/b:c.md', 19],
      ['rules/d\\\\e.md', 10],
      ['rules/f.md.', 18],
      ['rules/\u202Etxt.md', 16],
    ]);
    expect(fault.message).toContain('(and 8 more)');
  });

  it('also where two of them are one path on another system', async () => {
    await files({ 'Rules.md': '', 'rules.md': '', 'caf\u00E9': '', 'cafe\u0301': '' });
    const fault = await refused();
    expect([fault.code, fault.violations.map(({ rule }) => rule)]).toEqual(['ARCHIVE_COLLISION', [28, 27]]);
  });

  it('unless an .airlockignore leaves them out', async () => {
    await files({ 'rules/aux.md': '', '.airlockignore': 'rules\n' });
    expect(await packed()).toMatchObject({ plugin: 'lint' });
  });
});
