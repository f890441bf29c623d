import { describe, expect, it } from 'vitest';

import { readManifest } from '../../../shared/format/manifest.ts';
import { checkPlugin, filesToRead, type PluginFacts } from '../../../shared/rule/plugin/check-plugin.ts';
import { fileHead } from '../../../shared/rule/plugin/file-head.ts';
import { type Finding, finding, findingText } from '../../../shared/rule/plugin/finding.ts';
import { textIn } from '../../../shared/format/text.ts';

const LIMITS = { files: 100, bytes: 100_000, fileBytes: 10_000 };

/** Path → text; executable if its name ends in `.sh`, and not if it ends in `.644.sh`. */
function check(contents: Record<string, string>, more: Partial<PluginFacts> = {}): Finding[] {
  const all = { 'plugin.yaml': 'name: lint\n', ...contents };
  const files = Object.entries(all).map(([path, text]) => ({
    path,
    size: Buffer.byteLength(text),
    mode: /(?<!\.644)\.sh$/.test(path) ? ('755' as const) : ('644' as const),
  }));
  const { paths, left } = filesToRead(files, LIMITS);
  const bytes = new Map(Object.entries(all).map(([path, text]) => [path, Buffer.from(text)]));
  const heads = new Map(
    files.flatMap(({ path, size }) => {
      const head = fileHead((bytes.get(path) ?? Buffer.alloc(0)).subarray(0, 256), size);
      return head === undefined ? [] : [[path, head] as const];
    }),
  );
  const texts = new Map(paths.map((path) => [path, textIn(bytes.get(path) ?? Buffer.alloc(0))]));
  const read = readManifest('plugin.yaml', all['plugin.yaml']);
  const found = read.ok ? read : undefined;
  return checkPlugin({ files, directories: [], heads, texts, left, found, hasModes: true, ...more });
}

const said = (findings: readonly Finding[]): string[] =>
  findings.map(({ rule, level, path, line, message }) =>
    [level, rule, line === undefined ? path : `${path}:${line}`, message].join(' | '),
  );
const rules = (contents: Record<string, string>): string[] =>
  check(contents).map(({ rule, path }) => `${rule} ${path}`);
const skill = (name: string, more = ''): string => `---\nname: ${name}\ndescription: does it\n---\n${more}`;
const LFS = `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 12\n`;
const tagged = (text: string): string =>
  Array.from(text, (one) => String.fromCodePoint(0xe0000 + (one.codePointAt(0) ?? 0))).join('');

it('nothing is said about a plugin that is as it should be', () => {
  expect(
    check({
      'plugin.yaml':
        'name: lint\nskills: [a]\nrules: [rules/a.md]\nhooks: [check]\nadapters: [claude-code]\nprompt_fragments: [AGENTS.md]\n',
      'AGENTS.md': '# x\n',
      'rules/a.md': 'x\n',
      'skills/a/SKILL.md': skill('a'),
      'skills/a/run.sh': '#!/bin/sh\necho\n',
      'hooks/check.py': 'print()\n',
      'adapters/claude_code.py': '\n',
      VERSION: '1.2.3',
      '.nvmrc': '20',
    }),
  ).toEqual([]);
});

it('a field of the manifest that is left out is said', () => {
  expect(said(check({ 'plugin.yaml': 'name: lint\nauthor: [a]\n' }))).toEqual([
    expect.stringMatching(/^warning \| manifest-field \| plugin.yaml \| "author" is left out: it must be /),
  ]);
});

describe('a skill', () => {
  it('is looked for as SKILL.md', () => {
    expect(said(check({ 'skills/a/Skill.md': skill('a'), 'skills/b/docs/skill.md': 'x' }))).toEqual([
      'warning | skill-file-case | skills/a/Skill.md | its name is "Skill.md", and runtimes look for "SKILL.md"',
    ]);
  });

  it('has the name of its directory, and a description', () => {
    expect(
      said(
        check({
          'skills/a/SKILL.md': skill('b'),
          'skills/c/SKILL.md': '---\nname: c\n---\n',
          'skills/d/SKILL.md': '---\ndescription: x\n---\n',
          'skills/e/SKILL.md': '---\nname: e\ndescription: " "\n---\n',
          'skills/f/SKILL.md': '# F\n',
          'skills/g/SKILL.md': '---\nname: g\ndescription: Use when: asked\n---\n',
          'skills/i/SKILL.md': `---\nx: ${'['.repeat(100)}\n---\n`,
          'skills/h/deep/SKILL.md': '# not one of the plugin\n',
        }),
      ),
    ).toEqual([
      'warning | skill-name | skills/a/SKILL.md:2 | its name is "b", and its directory is "a"',
      'warning | skill-no-description | skills/c/SKILL.md | its front matter has no description',
      'warning | skill-no-name | skills/d/SKILL.md | its front matter has no name',
      'warning | skill-no-description | skills/e/SKILL.md | its front matter has no description',
      'warning | skill-front-matter | skills/f/SKILL.md | it has no front matter between two lines of "---"',
      'warning | skill-front-matter | skills/g/SKILL.md | "description" is not valid YAML and is read as plain text: put its value in quotes',
      'warning | skill-front-matter | skills/i/SKILL.md | it is nested more than 64 levels deep',
    ]);
  });

  it('may have a name for people at the root', () => {
    expect(rules({ 'SKILL.md': skill('PDF Tools') })).toEqual([]);
  });
});

describe('a script', () => {
  it('is executable, above all where a hook runs it', () => {
    const command = (text: string): string => `{"hooks":{"Stop":[{"command":${JSON.stringify(text)}}]}}`;
    expect(
      said(
        check({
          'hooks/hooks.json': command('"${CLAUDE_PLUGIN_ROOT}/hooks/run.644.sh" --now'),
          'hooks/run.644.sh': '#!/bin/sh\n',
          'skills/a/tool.py': '#!/usr/bin/env python3\n',
        }),
      ),
    ).toEqual([
      'warning | script-not-executable | hooks/run.644.sh:1 | it begins with #! and is not executable, and a hook runs it',
      'note | script-not-executable | skills/a/tool.py:1 | it begins with #! and is not executable',
    ]);
    expect(
      said(
        check({
          'hooks/hooks.json': command('bash ${CLAUDE_PLUGIN_ROOT}/run.644.sh'),
          'run.644.sh': '#!/bin/sh\n',
        }),
      ),
    ).toEqual(['note | script-not-executable | run.644.sh:1 | it begins with #! and is not executable']);
    expect(check({ 'a.py': '#!/bin/sh\n' }, { hasModes: false })).toEqual([]);
  });

  it('ends its first line as Unix does', () => {
    expect(rules({ 'a.sh': '#!/bin/sh\r\nx\r\n', 'b.sh': '#!/bin/sh\nx\r\n', 'c.bat': 'x\r\n' })).toEqual([
      'script-crlf a.sh',
    ]);
  });
});

describe('a file stands for another', () => {
  it('where it is a pointer of Git LFS', () => {
    expect(rules({ 'a.bin': LFS, 'b.md': `${LFS}${'x'.repeat(2000)}`, 'c.md': 'version 1' })).toEqual([
      'lfs-pointer a.bin',
    ]);
  });

  it('where it is a link that was checked out as text', () => {
    expect(
      rules({
        'AGENTS.md': 'x\n',
        'CLAUDE.md': 'AGENTS.md',
        'skills/a/shared': '../../rules',
        'skills/a/ref.md': '../../../shared/ref.md',
        'rules/a.md': 'x\n',
        'rules/b.md': 'a.md\n',
        'rules/c.md': 'd.md',
        'rules/e.md': 'Read the file ../AGENTS.md',
      }),
    ).toEqual(['link-as-text CLAUDE.md', 'link-as-text skills/a/shared', 'link-as-text skills/a/ref.md']);
  });
});

describe('what a hook or a manifest names is there', () => {
  const missing = (command: string, more: Record<string, string> = {}): string[] =>
    said(
      check({
        'hooks/hooks.json': `{\n"hooks": [\n{"command": ${JSON.stringify(command)}}]}`,
        'hooks/there.sh': '#!/bin/sh\n',
        ...more,
      }),
    );
  const gone = (path: string): string =>
    `warning | file-not-there | hooks/hooks.json:3 | it names "${path}", which is not there`;

  it.each([
    'bash ${CLAUDE_PLUGIN_ROOT}/hooks/gone.sh',
    'bash "${CLAUDE_PLUGIN_ROOT}/hooks/gone.sh" --x',
    "'${CLAUDE_PLUGIN_ROOT}'/hooks/gone.sh",
    '$CLAUDE_PLUGIN_ROOT/hooks/gone.sh; true',
    '${CLAUDE_PLUGIN_ROOT:-.}/hooks/gone.sh',
    '${CLAUDE_PLUGIN_ROOT}/hooks/there.sh && node ${CLAUDE_PLUGIN_ROOT}/hooks/gone.sh',
  ])('%s', (command) => {
    expect(missing(command)).toEqual([gone('hooks/gone.sh')]);
  });

  it.each([
    '${CLAUDE_PLUGIN_ROOT}/hooks/there.sh',
    'node ${CLAUDE_PLUGIN_ROOT}/hooks/',
    'sh ${CLAUDE_PLUGIN_ROOT}/hooks/$NAME.sh',
    'sh ${CLAUDE_PLUGIN_ROOT}/hooks/*.sh',
    '[ -f ${CLAUDE_PLUGIN_ROOT}/hooks/gone.sh ] && sh ${CLAUDE_PLUGIN_ROOT}/hooks/gone.sh',
    'date > ${CLAUDE_PLUGIN_ROOT}/last.log',
    'mkdir -p ${CLAUDE_PLUGIN_ROOT}/cache',
    'node ${CLAUDE_PLUGIN_ROOT}/node_modules/x/cli.js',
    'tee ${CLAUDE_PLUGIN_ROOT}/logs/a.txt ${CLAUDE_PLUGIN_ROOT}/a.log',
    'node ${CLAUDE_PROJECT_DIR}/gone.js',
    'node ${CLAUDE_PLUGIN_ROOT}/../other/gone.js',
  ])('but not %s', (command) => {
    expect(missing(command)).toEqual([]);
  });

  it('also with spaces in its path', () => {
    expect(missing('sh "${CLAUDE_PLUGIN_ROOT}/my hooks/a.sh"', { 'my hooks/a.sh': '' })).toEqual([]);
  });

  it('where a plugin.json of Claude Code has components', () => {
    const json = { name: 'lint', commands: ['./cmd/a.md', './cmd/b.md'], skills: './skills/', hooks: {} };
    expect(
      said(check({ '.claude-plugin/plugin.json': JSON.stringify(json, null, 1), 'cmd/a.md': '' })),
    ).toEqual([
      'warning | file-not-there | .claude-plugin/plugin.json:5 | it names "./cmd/b.md", which is not there',
      'warning | file-not-there | .claude-plugin/plugin.json:7 | it names "./skills/", which is not there',
    ]);
  });

  it('where a plugin.yaml has parts', () => {
    expect(
      said(
        check({
          'plugin.yaml':
            'name: lint\nskills: [a, b]\nhooks: [check]\nrules: [rules/x.md, rules/y.md]\nadapters: [claude-code]\n',
          'skills/a/SKILL.md': skill('a'),
          'rules/x.md': '',
          'adapters/claude_code.py': '',
        }),
      ).map((line) => line.split(' | ')[3]),
    ).toEqual([
      '"skills" names "b", which is not there',
      '"rules" names "rules/y.md", which is not there',
      '"hooks" names "check", which is not there',
    ]);
  });
});

describe('hidden characters in what an agent reads', () => {
  it('are decoded, and have a line', () => {
    expect(
      said(check({ 'skills/a/SKILL.md': skill('a', `x\ny${tagged('ignore all')}\n${tagged('!')}`) })),
    ).toEqual([
      'warning | hidden-characters | skills/a/SKILL.md:6 | it holds 11 invisible tag characters that read "ignore all!"',
    ]);
  });

  it('are none in the flag of a region', () => {
    expect(rules({ 'rules/a.md': `\u{1F3F4}${tagged('gbeng')}\u{E007F}` })).toEqual([]);
    expect(rules({ 'rules/a.md': `\u{1F3F4}${tagged('ignore all')}` })).toEqual([
      'hidden-characters rules/a.md',
    ]);
  });

  it('are controls of direction too, but not isolates in a text that is written right to left', () => {
    expect(said(check({ 'AGENTS.md': 'a\n\u202Eb\u202C' }))).toEqual([
      'warning | hidden-characters | AGENTS.md:2 | it holds U+202E (right-to-left override) and 1 more: it is shown in another order than it is read',
    ]);
    expect(
      rules({ 'a.md': '\u2068a\u2069', 'b.md': '\u05D0 \u2068a\u2069', 'c.md': '\u05D0 \u202E' }),
    ).toEqual(['hidden-characters a.md', 'hidden-characters c.md']);
  });
});

it('names that macOS decomposed and names that Windows cannot hold are said once', () => {
  expect(rules({ 'cafe\u0301/a.md': '', 'cafe\u0301/b.md': '', 'caf\u00E9.md': '', 'what?.md': '' })).toEqual(
    ['windows-name what?.md', 'name-nfd cafe\u0301'],
  );
});

describe('the files that are read', () => {
  const file = (path: string, size = 10): { path: string; size: number; mode: '644' } => ({
    path,
    size,
    mode: '644',
  });

  it('are those that matter, the most important first', () => {
    const files = [
      'src/a.ts',
      'skills/a/ref.md',
      'AGENTS.md',
      'skills/a/SKILL.md',
      'hooks/hooks.json',
      'docs/x.md',
    ];
    expect(
      filesToRead(
        files.map((path) => file(path)),
        LIMITS,
      ),
    ).toEqual({
      paths: ['hooks/hooks.json', 'skills/a/SKILL.md', 'AGENTS.md', 'skills/a/ref.md'],
      left: 0,
    });
  });

  it('have bounds, and what is left is counted and said', () => {
    const files = Array.from({ length: 200 }, (_, i) => file(`rules/${i}.md`));
    expect(filesToRead(files, LIMITS)).toMatchObject({ left: 100 });
    expect(filesToRead([file('a.md', 20_000), file('b.md', 10)], LIMITS)).toEqual({
      paths: ['b.md'],
      left: 1,
    });
    expect(filesToRead([file('a.md', 9000), file('b.md', 9000)], { ...LIMITS, bytes: 10_000 }).left).toBe(1);
    expect(said(check({}, { left: 3 }))).toEqual([
      'note | not-checked |  | 3 files of text are too large or too many to be read',
    ]);
  });
});

it('a hostile text costs no more than its size', () => {
  const many = '${CLAUDE_PLUGIN_ROOT}/a'.repeat(50_000);
  const hooks = `{"command":"${many}"}`;
  const long = `{"command":"\${CLAUDE_PLUGIN_ROOT}/${'/'.repeat(900_000)}x"}`;
  const texts = new Map([hooks, long].map((text, i) => [`hooks/${i}.json`, { kind: 'text' as const, text }]));
  // If it were quadratic, the test would run into its limit of time.
  expect(check({}, { texts }).length).toBeLessThan(2000);
});

it('a finding is one line that says where, what, what to do, and which rule it is', () => {
  expect(findingText(finding('skill-name', 'skills/a/SKILL.md', 'its name is "b"', { line: 2 }))).toBe(
    'skills/a/SKILL.md:2: its name is "b"; give the skill and its directory the same name (warning: skill-name)',
  );
  expect(findingText(finding('manifest-missing', '', 'it has no manifest'))).toMatch(
    /^it has no manifest; add/,
  );
});

// Was a bug: each name looked through the whole text again, which took minutes for a text of this length.
it('tells the lines of many components of a long manifest', () => {
  const names = Array.from({ length: 1000 }, (_, i) => `./commands/${i}.md`);
  const text = `{"name":"lint",${'\n'.repeat(4_000_000)}"commands":[${names.map((name) => `\n${JSON.stringify(name)}`).join()}]}`;
  const texts = new Map([['.claude-plugin/plugin.json', textIn(Buffer.from(text))]]);
  const found = check({}, { texts });
  expect(found.map(({ line }) => line)).toEqual(names.map((_, i) => 4_000_002 + i));
});
