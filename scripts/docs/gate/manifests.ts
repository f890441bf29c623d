/** Cases about manifests and runtimes. */
import {
  type CaseAnswer,
  type CaseFile,
  type Content,
  type GateCase,
  admitted,
  pluginsCase,
  refused,
  yamlOf,
} from './case.ts';

type Row = readonly [Content, CaseAnswer, CaseAnswer?];

const BAD = refused('manifest-invalid');
/** What a loader that reads less of YAML or JSON says. */
const OR = BAD;

const yaml = (text: string): Content => ({ files: { 'plugin.yaml': text } });
const good = (text: string, version: string | null = '1.2.3'): Row => [yaml(text), admitted({ version })];
/** Whole YAML, of which a loader may read only a part. */
const hard = (text: string, version = '1.2.3'): Row => [yaml(text), admitted({ version }), OR];
const bad = (text: string): Row => [yaml(text), BAD];
/** What is wrong is nothing that decides: a loader that reads only what does may admit it, as the agent has judged it. */
const loose = (text: string): Row => [yaml(text), BAD, admitted()];

/** `name` and `version`, and more lines. */
const also = (...lines: string[]): string => `name: lint\nversion: 1.2.3\n${lines.join('\n')}\n`;
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

const yamlCases: GateCase[] = [
  pluginsCase('a plugin.yaml', {
    plain: good('name: lint\nversion: 1.2.3\n'),
    'no-line-end': good('name: lint\nversion: 1.2.3'),
    'windows-lines': good('name: lint\r\nversion: 1.2.3\r\nruntimes:\r\n  - claude_code\r\n'),
    'mark-before': good(`\u{FEFF}${yamlOf('lint')}`),
    'document-start': good(`---\n${yamlOf('lint')}`),
    comments: good('# a plugin\n\nname: lint # its name\n# the next\nversion:   1.2.3   \n\n'),
    'double-quotes': good('name: "lint: it"\nversion: "1.2.3" # a text\n'),
    'single-quotes': good("name: 'it''s # lint'\nversion: '1.2.3'\n"),
    'signs-in-a-word': good('name: a#b:c-d[e]{f},g\nversion: 1.2.3\n'),
    'other-keys': good(
      also('description: How we work, in short', 'tags: [a, b c]', 'kind: skill', 'x-of-another: 1'),
    ),
    'lists-of-texts': good(
      also('rules:', '- rules/a.md', '- "rules/b.md"', 'hooks:', '    - one # the first', '', '    - two'),
    ),
    'description-in-a-block': good(
      also('description: |', '  a: b', '', '    # no comment', '  ] [', '# a comment', 'kind: skill'),
    ),
    'description-folded': good(also('description: >-', '  a', '  b', 'kind: skill')),
    'author-map': good(also('author:', '  name: A. Writer', '  email: a@example.org')),
    'hot-reload': good(also('hot_reload: false')),
    'hot-reload-capitals': good(also('hot_reload: False')),
    'hot-reload-nothing': good(also('hot_reload:')),
    'name-of-128': good(`name: ${'n'.repeat(128)}\nversion: 1.2.3\n`),
    'name-number': good('name: 1\nversion: 1.2.3\n'),
  }),
  pluginsCase('the version of a plugin.yaml is what is written', {
    absent: good('name: lint\n', '0.0.0'),
    nothing: good('name: lint\nversion:\n', '0.0.0'),
    'nothing-said': good('name: lint\nversion: null\n', '0.0.0'),
    tilde: good('name: lint\nversion: ~\n', '0.0.0'),
    number: good('name: lint\nversion: 1.10\n', '1.10'),
    integer: good('name: lint\nversion: 007\n', '007'),
    hexadecimal: good('name: lint\nversion: 0x10\n', '0x10'),
    'quoted-null': good('name: lint\nversion: "null"\n', 'null'),
    'no-number': good('name: lint\nversion: v1.2.3-rc.1+build\n', 'v1.2.3-rc.1+build'),
    empty: good("name: lint\nversion: ''\n", ''),
    'of-256': good(`name: lint\nversion: ${'1'.repeat(256)}\n`, '1'.repeat(256)),
    'of-257': bad(`name: lint\nversion: ${'1'.repeat(257)}\n`),
    'of-129-pairs': bad(`name: lint\nversion: "${'\u{1f600}'.repeat(129)}"\n`),
    true: bad('name: lint\nversion: true\n'),
    list: bad('name: lint\nversion: [1, 2]\n'),
    map: bad('name: lint\nversion:\n  major: 1\n'),
  }),
  pluginsCase('a plugin.yaml without a name', {
    absent: bad('version: 1.2.3\n'),
    nothing: bad('name:\nversion: 1.2.3\n'),
    empty: bad('name: ""\nversion: 1.2.3\n'),
    true: bad('name: true\nversion: 1.2.3\n'),
    list: bad('name:\n  - lint\nversion: 1.2.3\n'),
    'of-129': bad(`name: ${'n'.repeat(129)}\nversion: 1.2.3\n`),
    'below-another-key': bad('plugin:\n  name: lint\n'),
    'in-a-comment': bad('# name: lint\nversion: 1.2.3\n'),
    'in-a-text': bad('description: |\n  name: lint\nversion: 1.2.3\n'),
  }),
  pluginsCase('a plugin.yaml that is no YAML, or no map', {
    empty: bad(''),
    'only-a-comment': bad('# nothing\n'),
    word: bad('lint\n'),
    list: bad('- name: lint\n'),
    'key-twice': bad('name: lint\nname: lint\n'),
    'other-key-twice': loose(also('kind: a', 'kind: b')),
    'key-twice-below': loose(also('author:', '  name: a', '  name: b')),
    'open-list': loose(also('tags: [a, b')),
    'open-quote': loose(also('description: "a')),
    'text-after-a-quote': loose(also('description: "a" b')),
    'colon-in-a-text': loose(also('description: a: b')),
    'map-in-a-line': bad('name: lint\nversion: 1.2.3\n  below: 1\n'),
    'no-space': bad('name:lint\nversion:1.2.3\n'),
    tab: loose(also('author:', '\tname: a')),
    'less-indented': loose(also('description: |', '    a', '  b')),
    'uneven-list': loose(also('rules:', '  - a', ' - b')),
    'uneven-map': loose(also('author:', '  name: a', '   email: b')),
    'two-documents': bad(`${yamlOf('lint')}---\n${yamlOf('lint')}`),
    'sign-before': loose(also('description: @a')),
    'percent-before': loose(also('description: %a')),
    'quoted-lines-at-the-edge': bad(also('description: "a', 'runtimes: [claude_code]', 'b"')),
    json: [yaml('{"name": "lint", "version": "1.2.3"}'), admitted(), OR],
  }),
  pluginsCase('more of YAML', {
    'text-over-lines': hard(also('description: a', '  b')),
    'quotes-over-lines': hard(also('description: "a', '  b"')),
    escapes: hard('name: "li\\u006Et"\nversion: "1.2.3"\n'),
    anchors: hard(also('description: &text a', 'kind: *text')),
    'map-in-braces': hard(also('author: {name: A. Writer}')),
    'maps-in-a-list': hard(also('hooks:', '  - event: start', '    run: a.sh')),
    'list-over-lines': hard(also('tags: [', '  a,', '  b', ']').replace('\n]', '\n  ]')),
    'quoted-keys': hard('"name": lint\n\'version\': 1.2.3\n'),
    'question-mark': hard(also('? kind', ': skill')),
    indented: hard('  name: lint\n  version: 1.2.3\n'),
    directive: hard(`%YAML 1.2\n---\n${yamlOf('lint')}`),
    'document-end': hard(`${yamlOf('lint')}...\n`),
    'exact-block': hard(also('description: |2', '   a')),
  }),
  pluginsCase('a plugin.yaml that would cost too much', {
    'nested-deeply': loose(also(`tags: ${nested(100)}`)),
    'many-words': loose(also(`tags: [${'a, '.repeat(11_000)}a]`)),
    'many-aliases': loose(
      also('tags: &a [a, a]', `rules: [${'*a, '.repeat(30)}*a]`).replace('[a, a]', `&b [a, a]`),
    ),
    'too-large': [
      { files: {}, more: [{ path: 'plugin.yaml', text: '#\n', times: 600_000 }] },
      refused('unreadable'),
    ],
  }),
  pluginsCase('fields of a plugin.yaml that nothing depends on may have any form', {
    'description-list': good(also('description: [a, b]')),
    'tags-map': good(also('tags:', '  a: b')),
    'kind-list': good(also('kind: [a]')),
    'author-number': good(also('author: 1')),
  }),
  pluginsCase('fields of a plugin.yaml that decide must be as they should', {
    'hot-reload-no': bad(also('hot_reload: no')),
    'hot-reload-number': bad(also('hot_reload: 0')),
    'hot-reload-text': bad(also('hot_reload: "false"')),
    'runtimes-map': bad(also('runtimes:', '  claude_code: true')),
    'runtimes-nothing-in-it': bad(also('runtimes:', '  - claude_code', '  - null')),
    'runtimes-true': bad(also('runtimes: [true]')),
    'runtimes-101': bad(also('runtimes:', ...Array.from({ length: 101 }, (_, i) => `  - r${i}`))),
  }),
];

const runtimes = (...lines: string[]): Content => yaml(also(...lines));

const runtimeCases: GateCase[] = [
  pluginsCase(
    'the runtimes that a plugin names: "-" is "_", and capitals do not count',
    {
      any: [{}, admitted()],
      'none-named': [runtimes('runtimes: []'), admitted()],
      nothing: [runtimes('runtimes:'), admitted()],
      same: [runtimes('runtimes: [deepagents, claude-code]'), admitted()],
      'other-spelling': [runtimes('runtimes:', '  - Claude_Code'), admitted()],
      'one-text': [runtimes('runtimes: claude_code'), admitted()],
      quoted: [runtimes('runtimes: ["claude-code"]'), admitted()],
      hundred: [
        runtimes('runtimes:', ...Array.from({ length: 99 }, (_, i) => `  - r${i}`), '  - claude-code'),
        admitted(),
      ],
      other: [runtimes('runtimes: [deepagents]'), refused('runtime-unsupported')],
      longer: [runtimes('runtimes: [claude-code-2]'), refused('runtime-unsupported')],
      'empty-text': [runtimes("runtimes: ''"), refused('runtime-unsupported')],
      number: [runtimes('runtimes: [3]'), refused('runtime-unsupported')],
      all: [runtimes('runtimes: ["*"]'), refused('runtime-unsupported')],
    },
    { options: { runtime: 'claude-code' } },
  ),
  pluginsCase(
    'the runtime of an external workspace loads every plugin',
    { other: [runtimes('runtimes: [deepagents]'), admitted()] },
    { options: { runtime: 'external' } },
  ),
  pluginsCase('a loader that names no runtime loads every plugin', {
    other: [runtimes('runtimes: [deepagents]'), admitted()],
  }),
  pluginsCase(
    'only a plugin.yaml names runtimes',
    {
      claude: [
        { files: { '.claude-plugin/plugin.json': '{"name":"lint","version":"1.2.3","runtimes":["x"]}' } },
        admitted(),
      ],
      skill: [{ files: { 'SKILL.md': '---\nname: lint\nversion: 1.2.3\nruntimes: [x]\n---\n' } }, admitted()],
    },
    { options: { runtime: 'claude-code' } },
  ),
];

const AGENT = 'https://agent-plugins.org/schemas/1.0.0/plugin.schema.json';
const agent = (fields: Record<string, unknown>, more: Record<string, string> = {}): Content => ({
  files: {
    'plugin.json': JSON.stringify({ $schema: AGENT, name: 'lint', version: '1.2.3', ...fields }),
    ...more,
  },
});
const agentBad = (fields: Record<string, unknown>): Row => [agent(fields), BAD];

const agentCases: GateCase[] = [
  pluginsCase('a plugin.json of Agent Plugins', {
    small: [agent({}), admitted()],
    whole: [
      agent({
        description: 'd',
        author: { name: 'a', email: 'e', url: 'u' },
        homepage: 'h',
        repository: 'r',
        license: 'l',
        keywords: ['k', ''],
        extensions: { x: { y: [1] } },
      }),
      admitted(),
    ],
    'no-version': [agent({ version: undefined }), admitted({ version: '0.0.0' })],
    'unknown-field': [agent({ mcpServers: {} }), admitted()],
    'extensions-list': [agent({ extensions: [] }), admitted()],
    'empty-author': [agent({ author: {} }), admitted()],
    'mark-before': [
      { files: { 'plugin.json': `\u{FEFF}${agent({}).files?.['plugin.json'] ?? ''}` } },
      admitted(),
    ],
  }),
  pluginsCase('a plugin.json of Agent Plugins that is not as its specification says', {
    'no-name': agentBad({ name: undefined }),
    'name-number': agentBad({ name: 1 }),
    'name-capital': agentBad({ name: 'Lint' }),
    'name-low-line': agentBad({ name: 'a_b' }),
    'name-two-dashes': agentBad({ name: 'a--b' }),
    'name-two-dots': agentBad({ name: 'a..b' }),
    'name-dash-at-the-end': agentBad({ name: 'a-' }),
    'name-line': agentBad({ name: 'lint\n' }),
    'name-of-65': agentBad({ name: 'n'.repeat(65) }),
    'version-number': agentBad({ version: 1 }),
    'version-nothing': agentBad({ version: null }),
    'version-of-257': agentBad({ version: '1'.repeat(257) }),
    'description-list': agentBad({ description: ['a'] }),
    'author-text': agentBad({ author: 'a' }),
    'author-other-field': agentBad({ author: { name: 'a', phone: '1' } }),
    'author-number': agentBad({ author: { name: 1 } }),
    'homepage-nothing': agentBad({ homepage: null }),
    'keywords-text': agentBad({ keywords: 'a' }),
    'keywords-number': agentBad({ keywords: ['a', 1] }),
  }),
  pluginsCase('a plugin.json of another tool is no manifest', {
    'no-schema': [{ files: { 'plugin.json': '{"name":"lint"}' } }, refused('manifest-missing')],
    'other-schema': [agent({ $schema: `${AGENT}#` }), refused('manifest-missing')],
    'no-json': [{ files: { 'plugin.json': '{' } }, refused('manifest-missing')],
    list: [{ files: { 'plugin.json': `["${AGENT}"]` } }, refused('manifest-missing')],
    nothing: [{ files: { 'plugin.json': 'null' } }, refused('manifest-missing')],
    'a-link': [
      { files: { 'a.json': '{}' }, more: [{ path: 'plugin.json', link: 'a.json' }] },
      refused('manifest-missing'),
    ],
    'before-a-skill': [
      { files: { 'plugin.json': '{}', 'SKILL.md': '---\nname: lint\nversion: 1.2.3\n---\n' } },
      admitted(),
    ],
  }),
];

const claude = (text: string): Content => ({ files: { '.claude-plugin/plugin.json': text } });
const claudeGood = (text: string, version = '1.2.3'): Row => [claude(text), admitted({ version })];

const claudeCases: GateCase[] = [
  pluginsCase('a .claude-plugin/plugin.json', {
    small: claudeGood('{"name":"lint","version":"1.2.3"}'),
    'no-version': claudeGood('{"name":"lint"}', '0.0.0'),
    'version-nothing': claudeGood('{"name":"lint","version":null}', '0.0.0'),
    'version-number': claudeGood('{"name":"lint","version":1.10}', '1.10'),
    'version-twice': claudeGood('{"name":"lint","version":"1","x":{"version":2},"version":3.0}', '3.0'),
    'name-number': claudeGood('{"name":1,"version":"1.2.3"}'),
    'mark-before': claudeGood('\u{FEFF}{"name":"lint","version":"1.2.3"}'),
    'other-forms': claudeGood('{"name":"lint","version":"1.2.3","description":[],"author":1,"keywords":"a"}'),
    'name-twice': claudeGood('{"name":"","name":"lint","version":"1.2.3"}'),
    'half-a-pair': claudeGood('{"name":"\\ud83d","version":"1.2.3"}'),
    nested: [claude(`{"name":"lint","version":"1.2.3","x":${nested(20_000)}}`), admitted(), OR],
  }),
  pluginsCase('a .claude-plugin/plugin.json that is none', {
    empty: [claude(''), BAD],
    cut: [claude('{"name":"lint"'), BAD],
    list: [claude('[]'), BAD],
    nothing: [claude('null'), BAD],
    'no-name': [claude('{"version":"1.2.3"}'), BAD],
    'name-empty': [claude('{"name":""}'), BAD],
    'name-nothing': [claude('{"name":null}'), BAD],
    'name-true': [claude('{"name":true}'), BAD],
    'name-endless': [claude('{"name":1e999}'), BAD],
    'version-list': [claude('{"name":"lint","version":[1]}'), BAD],
    'not-a-number': [claude('{"name":"lint","version":NaN}'), BAD],
    comment: [claude('{"name":"lint"} // a plugin'), BAD],
  }),
];

const skill = (head: string): Content => ({ files: { 'SKILL.md': head } });
const skillGood = (head: string, version = '1.2.3'): Row => [skill(head), admitted({ version })];

const skillCases: GateCase[] = [
  pluginsCase('a SKILL.md', {
    small: skillGood('---\nname: lint\nversion: 1.2.3\n---\nText.\n'),
    'no-version': skillGood('---\nname: lint\ndescription: Finds faults\n---\n', '0.0.0'),
    'version-in-metadata': skillGood(
      '---\nname: lint\nmetadata:\n  author: a\n  version: "1.10"\n---\n',
      '1.10',
    ),
    'version-number': skillGood('---\nname: lint\nmetadata:\n  version: 1.10\nversion: 1\n---\n', '1.10'),
    'windows-lines': skillGood('---\r\nname: lint\r\nversion: 1.2.3\r\n---\r\nText.\r\n'),
    'mark-before': skillGood('\u{FEFF}---\nname: lint\nversion: 1.2.3\n---\n'),
    'no-line-end': skillGood('---\nname: lint\nversion: 1.2.3\n---'),
    'spaces-behind': skillGood('--- \nname: lint\nversion: 1.2.3\n---\t\nText.\n'),
    'colon-in-a-text': skillGood('---\nname: lint\ndescription: Use when: always\nversion: 1.2.3\n---\n'),
    'text-over-lines': skillGood('---\nname: lint\ndescription: Finds\n  faults: all\nversion: 1.2.3\n---\n'),
    'other-forms': skillGood(
      '---\nname: lint\nversion: 1.2.3\ndescription: [a]\nallowed-tools: Bash(git:*)\n---\n',
    ),
    'name-with-quotes': skillGood('---\nname: "lint"\nversion: 1.2.3\n---\n'),
  }),
  pluginsCase('a SKILL.md that describes no skill', {
    empty: [skill(''), BAD],
    'no-head': [skill('# Lint\n'), BAD],
    'head-not-first': [skill('\n---\nname: lint\n---\n'), BAD],
    'head-not-closed': [skill('---\nname: lint\n'), BAD],
    'no-name': [skill('---\ndescription: a\n---\n'), BAD],
    'name-twice': [skill('---\nname: a\nname: b\n---\n'), BAD],
    'name-list': [skill('---\nname: [lint]\n---\n'), BAD],
    'name-empty': [skill("---\nname: ''\n---\n"), BAD],
    'version-map': [skill('---\nname: lint\nversion:\n  a: 1\n---\n'), BAD],
    'metadata-version-list': [skill('---\nname: lint\nmetadata:\n  version: [1]\n---\n'), BAD],
    'line-without-a-key': [skill('---\nname: lint\nfaults\n---\n'), BAD],
    list: [skill('---\n- lint\n---\n'), BAD],
  }),
];

const MORE: CaseFile[] = [{ path: 'a.txt', text: 'a' }];

const choiceCases: GateCase[] = [
  pluginsCase('no manifest', {
    nothing: [{ files: {} }, refused('manifest-missing')],
    'other-files': [{ files: {}, more: MORE }, refused('manifest-missing')],
    capitals: [{ files: { 'Plugin.yaml': yamlOf('lint') } }, refused('manifest-missing')],
    'other-ending': [{ files: { 'plugin.yml': yamlOf('lint') } }, refused('manifest-missing')],
    'a-file-for-a-directory': [{ files: { '.claude-plugin': '{}' } }, refused('manifest-missing')],
    'an-empty-directory': [{ files: {}, more: [{ path: '.claude-plugin/' }] }, refused('manifest-missing')],
    deeper: [{ files: { 'lint/plugin.yaml': yamlOf('lint') } }, refused('manifest-missing')],
  }),
  pluginsCase(
    'no manifest where the owner allows it; a wrong one is refused all the same',
    {
      nothing: [{ files: {}, more: MORE }, admitted({ version: null })],
      wrong: [yaml('name: ['), BAD],
      'a-link': [{ files: {}, more: [{ path: 'plugin.yaml', link: 'nowhere' }] }, refused('unreadable')],
    },
    { options: { manifest: 'optional' } },
  ),
  pluginsCase('the first manifest counts, also if a later one would be better', {
    yaml: [
      agent({ version: '2' }, { 'plugin.yaml': yamlOf('lint'), '.claude-plugin/plugin.json': '{' }),
      admitted(),
    ],
    agent: [agent({}, { '.claude-plugin/plugin.json': '{', 'SKILL.md': '' }), admitted()],
    claude: [
      { files: { '.claude-plugin/plugin.json': '{"name":"lint","version":"1.2.3"}', 'SKILL.md': '' } },
      admitted(),
    ],
    'wrong-yaml': [agent({}, { 'plugin.yaml': 'name: [' }), BAD],
    'wrong-agent': [agent({ name: 1 }, { 'SKILL.md': '---\nname: lint\n---\n' }), BAD],
  }),
  pluginsCase('a manifest that cannot be read', {
    'a-directory': [{ files: {}, more: [{ path: 'plugin.yaml/' }] }, refused('unreadable')],
    'a-link': [
      { files: { 'a.yaml': yamlOf('lint') }, more: [{ path: 'plugin.yaml', link: 'a.yaml' }] },
      refused('unreadable'),
    ],
    'a-link-before-a-skill': [
      { files: { 'SKILL.md': '---\nname: lint\n---\n' }, more: [{ path: 'plugin.yaml', link: 'nowhere' }] },
      refused('unreadable'),
    ],
    'a-directory-that-is-a-link': [
      { files: { 'a/plugin.json': '{"name":"lint"}' }, more: [{ path: '.claude-plugin', link: 'a' }] },
      refused('unreadable'),
    ],
    'utf-16': [
      {
        files: {},
        more: [
          { path: 'plugin.yaml', base64: Buffer.from('\u{FEFF}name: lint\n', 'utf16le').toString('base64') },
        ],
      },
      refused('unreadable'),
    ],
    'too-large': [
      { files: {}, more: [{ path: '.claude-plugin/plugin.json', text: ' ', times: 1024 * 1024 + 1 }] },
      refused('unreadable'),
    ],
  }),
];

export const manifestCases: GateCase[] = [
  ...yamlCases,
  ...runtimeCases,
  ...agentCases,
  ...claudeCases,
  ...skillCases,
  ...choiceCases,
];
