import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  MANIFEST_FILES,
  isManifest,
  type Manifest,
  type ManifestFile,
  readManifest,
  supportsRuntime,
} from '../../../shared/format/manifest.ts';

function read(file: ManifestFile, source: string): Manifest {
  const reading = readManifest(file, source);
  if (!reading.ok) throw new Error(reading.why);
  return reading.manifest;
}

function why(file: ManifestFile, source: string): string {
  const reading = readManifest(file, source);
  return reading.ok ? '' : reading.why;
}

const NOTHING = {
  version: '0.0.0',
  description: '',
  author: undefined,
  tags: [],
  kind: undefined,
  skills: [],
  rules: [],
  promptFragments: [],
  hooks: [],
  adapters: [],
  runtimes: [],
  hotReload: undefined,
};

describe('plugin.yaml', () => {
  test('every key that is known is read', () => {
    const source = `
name: ecc
version: 1.0.0
description: Guardrails
author: { name: Somebody, email: a@b.c }
tags: [coding, standards]
kind: bundle
skills: [one]
rules:
  - rules/node.md
prompt_fragments: AGENTS.md
hooks: [hooks/a.sh]
adapters: [claude_code]
runtimes: [claude-code, DeepAgents]
hot_reload: false
`;
    expect(read('plugin.yaml', source)).toEqual({
      file: 'plugin.yaml',
      name: 'ecc',
      version: '1.0.0',
      description: 'Guardrails',
      author: 'Somebody',
      tags: ['coding', 'standards'],
      kind: 'bundle',
      skills: ['one'],
      rules: ['rules/node.md'],
      promptFragments: ['AGENTS.md'],
      hooks: ['hooks/a.sh'],
      adapters: ['claude_code'],
      runtimes: ['claude_code', 'deepagents'],
      hotReload: false,
    });
  });

  test('only the name is needed; empty keys are as absent ones, unknown keys are ignored', () => {
    expect(read('plugin.yaml', 'name: a\nversion:\ntags:\nlater: { x: [1] }')).toEqual({
      ...NOTHING,
      file: 'plugin.yaml',
      name: 'a',
    });
  });

  test('a version that YAML takes for a number stays a version', () => {
    expect(read('plugin.yaml', 'name: a\nversion: 1.5').version).toBe('1.5');
  });

  test.each([
    ['not YAML', 'name: "a'],
    ['no mapping', '- a'],
    ['empty', ''],
    ['no name', 'version: 1.0.0'],
    ['a list as name', 'name: [a]'],
    ['a map among the runtimes', 'name: a\nruntimes: [{ x: 1 }]'],
    ['hot_reload that is no boolean', 'name: a\nhot_reload: sometimes'],
    ['the same key twice', 'name: a\nname: b'],
  ])('invalid: %s', (_, source) => {
    expect(why('plugin.yaml', source)).not.toBe('');
  });

  test('aliases that multiply are refused, not expanded', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`);
    expect(why('plugin.yaml', `name: a\nl0: &l0 x\n${levels.join('\n')}`)).toMatch(/alias/i);
  });

  test.each([
    ['brackets', '['.repeat(100_000)],
    ['braces', '{a: '.repeat(100_000)],
    ['dashes', `\n${'- '.repeat(100_000)}`],
    ['question marks', `\n${'? '.repeat(100_000)}`],
    ['indentation', Array.from({ length: 1000 }, (_, i) => `\n${' '.repeat(i + 1)}a:`).join('')],
  ])('deep %s are an answer: they once ended the process', (_, deep) => {
    expect(why('plugin.yaml', `name: a\nx: ${deep}`)).toBe('it is nested more than 64 levels deep');
    expect(why('SKILL.md', `---\nname: a\nx: ${deep}\n---\n`)).toBe('it is nested more than 64 levels deep');
  });

  test('a mebibyte of keys is an answer: looking for doubles once took minutes', () => {
    const keys = Array.from({ length: 100_000 }, (_, i) => `k${i}:\n`).join('');
    expect(why('plugin.yaml', `name: a\n${keys}`)).toBe('it holds more than 20000 words and signs');
  });

  test('as deep as people write is not too deep', () => {
    const source = `name: a\nx: ${'['.repeat(30)}${']'.repeat(30)}\nversion: 1.0.0`;
    expect(read('plugin.yaml', source).version).toBe('1.0.0');
  });

  test('what is wrong is said in one line of at most 500 characters', () => {
    const words = why(
      'plugin.yaml',
      `name: [${'a,'.repeat(500)}]\nruntimes: [{}, {}, {}]\nhot_reload: ${'x'.repeat(900)}`,
    );
    expect(words).not.toContain('\n');
    expect(words.length).toBeLessThanOrEqual(500);
  });
});

describe('a field on which nothing depends', () => {
  const said = (file: ManifestFile, source: string): string[] => {
    const reading = readManifest(file, source);
    return reading.ok ? reading.warnings : [`refused: ${reading.why}`];
  };

  test.each([
    ['plugin.yaml', 'author', 'author: [a, b]', 'a text, or a map with the text "name"'],
    ['plugin.yaml', 'author', 'author: { email: a@b.c }', 'a text, or a map with the text "name"'],
    ['plugin.yaml', 'hooks', 'hooks: { PreToolUse: [] }', 'a list of texts, or one text'],
    ['plugin.yaml', 'description', 'description: 5', 'a text'],
    ['plugin.yaml', 'tags', 'tags: [{ a: b }]', 'a list of texts, or one text'],
    ['plugin.yaml', 'kind', `kind: ${'k'.repeat(200)}`, 'a text of at most 128 characters'],
    ['.claude-plugin/plugin.json', 'keywords', '"keywords": "a, b"', 'a list of texts'],
    ['.claude-plugin/plugin.json', 'description', '"description": ["d"]', 'a text'],
    ['SKILL.md', 'metadata', 'metadata: none', 'a map'],
    ['SKILL.md', 'author', 'author: 5', 'a text, or a map with the text "name"'],
  ] as const)('of %s, %s, of another form is left out with a warning', (file, key, field, form) => {
    const source = {
      'plugin.yaml': `name: a\nversion: 1.0.0\n${field}\n`,
      '.claude-plugin/plugin.json': `{"name":"a","version":"1.0.0",${field}}`,
      'SKILL.md': `---\nname: a\nversion: 1.0.0\n${field}\n---\n`,
    }[file];
    expect(said(file, source)).toEqual([`${file}: "${key}" is left out: it must be ${form}`]);
    expect(read(file, source)).toMatchObject({ name: 'a', version: '1.0.0', author: undefined, hooks: [] });
  });

  test('hides nothing that is wrong with one on which something depends', () => {
    const words = why('plugin.yaml', 'name: a\nauthor: []\nhot_reload: sometimes\n');
    expect(words).toContain('hot_reload');
    expect(words).not.toContain('author');
  });

  test('is not warned of where its form is known, or its key is not', () => {
    expect(said('plugin.yaml', 'name: a\nauthor: { name: n, email: e }\ntags: t\nlater: [{}]\n')).toEqual([]);
    expect(said('.claude-plugin/plugin.json', '{"name":"a","hooks":{"a":[]},"commands":[1]}')).toEqual([]);
  });
});

describe('the plugin.json of Agent Plugins', () => {
  const $schema = 'https://agent-plugins.org/schemas/1.0.0/plugin.schema.json';
  const json = (fields: object): string => JSON.stringify({ $schema, name: 'a', ...fields });

  test('is one by its $schema alone', () => {
    const is = (text: string): boolean => isManifest('plugin.json', { kind: 'text', text });
    expect(is(json({}))).toBe(true);
    expect(is(json({ $schema: $schema.replace('1.0.0', '2.0.0') }))).toBe(false);
    for (const text of ['{"name":"a"}', 'null', '[]', '{', '']) expect(is(text)).toBe(false);
    expect(isManifest('plugin.json', { kind: 'unreadable', why: 'EIO' })).toBe(false);
    expect(isManifest('SKILL.md', { kind: 'unreadable', why: 'EIO' })).toBe(true);
    expect(isManifest('plugin.yaml', { kind: 'absent' })).toBe(false);
  });

  test('is read', () => {
    const author = { name: 'n', email: 'a@b.c' };
    const fields = {
      name: 'acme.tools',
      version: '1.10',
      description: 'd',
      author,
      keywords: ['k'],
      license: 'MIT',
    };
    expect(read('plugin.json', json(fields))).toEqual({
      ...NOTHING,
      file: 'plugin.json',
      name: 'acme.tools',
      version: '1.10',
      description: 'd',
      author: 'n',
      tags: ['k'],
    });
    expect(read('plugin.json', json({ extensions: { 'com.example': 1 } })).version).toBe('0.0.0');
  });

  test.each([
    { name: 'A' },
    { name: 'a--b' },
    { name: 'a_b' },
    { name: '' },
    { name: 'a'.repeat(65) },
    { version: 1.1 },
    { version: null },
    { description: 5 },
    { author: 'n' },
    { author: { name: 'n', team: 't' } },
    { keywords: 'k' },
    { license: ['MIT'] },
  ])('is as strict as its specification: %j', (fields) => {
    expect(why('plugin.json', json(fields))).not.toBe('');
  });

  test('is read in spite of unknown fields and extensions of another form, with a warning for each', () => {
    expect(readManifest('plugin.json', json({ displayName: 'A', extensions: 'x' }))).toMatchObject({
      ok: true,
      warnings: [
        'plugin.json: "extensions" is left out: it must be a map',
        'plugin.json: "displayName" is left out: Agent Plugins 1.0.0 does not know it',
      ],
    });
  });
});

describe('.claude-plugin/plugin.json', () => {
  const file = '.claude-plugin/plugin.json';

  test('its keywords are the tags, its author a name or a record', () => {
    const source =
      '{"name":"a","version":"2.0.0","description":"d","author":{"name":"n"},"keywords":["k"],"hooks":{}}';
    expect(read(file, source)).toEqual({
      ...NOTHING,
      file,
      name: 'a',
      version: '2.0.0',
      description: 'd',
      author: 'n',
      tags: ['k'],
    });
    expect(read(file, '{"name":"a","author":"n"}').author).toBe('n');
  });

  test.each(['', '{', '[]', 'null', '{"version":"1"}'])('invalid: %j', (source) => {
    expect(why(file, source)).not.toBe('');
  });
});

describe('SKILL.md', () => {
  test('the front matter makes a plugin of one skill', () => {
    const source = '---\r\nname: pdf\r\ndescription: Reads PDFs\r\nlicense: MIT\r\n---\r\n# PDF\n---\n';
    const expected = {
      file: 'SKILL.md',
      name: 'pdf',
      description: 'Reads PDFs',
      kind: 'skill',
      skills: ['pdf'],
    };
    expect(read('SKILL.md', source)).toEqual({ ...NOTHING, ...expected });
  });

  test('the version stands in metadata or beside the name', () => {
    expect(read('SKILL.md', '---\nname: a\nversion: 1.0.0\nmetadata:\n  version: 2.0.0\n---').version).toBe(
      '2.0.0',
    );
    expect(read('SKILL.md', '\uFEFF---\nname: a\nversion: 1.0.0\n---\n').version).toBe('1.0.0');
  });

  test.each(['', '# PDF\n', '---\nname: a\n', 'x\n---\nname: a\n---\n', '---\ndescription: d\n---\n'])(
    'invalid: %j',
    (source) => {
      expect(why('SKILL.md', source)).not.toBe('');
    },
  );
});

describe('front matter with a colon that is not quoted', () => {
  const QUOTE = '"description" is not valid YAML and is read as plain text: put its value in quotes';
  const skill = (...lines: string[]): string => `---\n${lines.join('\n')}\n---\n# Skill\n`;

  test('is read entry by entry, with a warning', () => {
    const source = skill(
      '# of a skill',
      'name: pdf',
      'description: Use when: a PDF comes up',
      '  or "forms: filled in" are asked for',
      '',
      'allowed-tools:',
      '- Read',
      'metadata:',
      '  version: 1.10',
    );
    const reading = readManifest('SKILL.md', source);
    expect(reading).toMatchObject({ ok: true, warnings: [`SKILL.md: ${QUOTE}`] });
    expect(read('SKILL.md', source)).toMatchObject({
      name: 'pdf',
      version: '1.10',
      description: 'Use when: a PDF comes up or "forms: filled in" are asked for',
    });
  });

  test('is read so with the lines of Windows too, and its other entries stay YAML', () => {
    const source = skill('name: "pdf"', 'version: 1.10 # ten', 'description: a: b').replaceAll('\n', '\r\n');
    expect(read('SKILL.md', source)).toMatchObject({ name: 'pdf', version: '1.10', description: 'a: b' });
  });

  test.each([
    ['a key twice', skill('name: a', 'name: b', 'description: c: d')],
    ['a line that is no entry', skill('name: a', 'whatever', 'description: c: d')],
    ['an indented line before the first entry', skill('  x', 'name: a', 'description: c: d')],
    ['no name', skill('description: c: d')],
    ['a flow map around it', skill('{ name: a, description: c: d }')],
  ])('is refused with %s', (_, source) => {
    expect(why('SKILL.md', source)).not.toBe('');
  });

  test('makes no other manifest readable', () => {
    expect(why('plugin.yaml', 'name: a\ndescription: c: d\n')).not.toBe('');
  });
});

test('runtimes are equal whether spelled with "-" or "_", in any case', () => {
  const manifest = read('plugin.yaml', 'name: a\nruntimes: [claude-code]');
  for (const same of ['claude-code', 'claude_code', 'Claude_Code']) {
    expect(supportsRuntime(manifest, same)).toBe(true);
  }
  expect(supportsRuntime(manifest, 'claudecode')).toBe(false);
});

test('no runtimes mean any, and no runtime agrees with all', () => {
  expect(supportsRuntime(read('plugin.yaml', 'name: a'), 'hermes')).toBe(true);
  expect(supportsRuntime(read('plugin.yaml', 'name: a\nruntimes: [x]'), undefined)).toBe(true);
  expect(supportsRuntime(read('plugin.yaml', 'name: a\nruntimes: [x]'), 'External')).toBe(true);
});

test('whatever the text, reading it never throws', () => {
  fc.assert(
    fc.property(fc.constantFrom(...MANIFEST_FILES), fc.string({ unit: 'binary' }), (file, source) => {
      const reading = readManifest(file, source);
      expect(reading.ok || reading.why !== '').toBe(true);
    }),
  );
});

test.each<[ManifestFile, string]>([
  ['plugin.yaml', 'name: a\nversion: 1.10\n'],
  ['.claude-plugin/plugin.json', '{"name":"a","version":1.10}'],
  [
    '.claude-plugin/plugin.json',
    '{ "x": { "version": 2 }, "version": 3,\n"y": [":", "version"], "name": "a\\"",\t"v\\u0065rsion" : 1.10 }',
  ],
  ['SKILL.md', '---\nname: a\nversion: 1.10\n---\n'],
  ['SKILL.md', '---\nname: a\nversion: 2.0\nmetadata:\n  author: n\n  version: 1.10\n---\n'],
])('version 1.10 of %s is not 1.1: %j', (file, source) => {
  expect(read(file, source).version).toBe('1.10');
});

test.each([
  ['1.10', '1.10'],
  ['"1.10"', '1.10'],
  ['2', '2'],
  ['1e3', '1e3'],
  ['0x10', '0x10'],
  ['1.0.0-rc.1', '1.0.0-rc.1'],
])('a version is what was written: %s', (written, version) => {
  expect(read('plugin.yaml', `name: lint\nversion: ${written}\n`).version).toBe(version);
});

test('a name, a version or runtimes of another form are told by the form that they must have', () => {
  expect(why('.claude-plugin/plugin.json', '{"name":true,"version":{}}')).toContain(
    'name: must be a text; version: must be a text',
  );
  expect(why('.claude-plugin/plugin.json', '{"version":"1"}')).toContain('name: is missing');
  expect(why('plugin.yaml', 'name: lint\nruntimes: {a: 1}')).toContain(
    'runtimes: must be a list of texts, or one text',
  );
});
