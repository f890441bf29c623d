/** Cases about markers, states and directories. */
import {
  type CaseAnswer,
  type Content,
  type GateCase,
  LATER,
  STAMP,
  admitted,
  gateCase,
  markerOf,
  pluginFiles,
  pluginsCase,
  refused,
  unverified,
  yamlOf,
} from './case.ts';

const NAME_OF_128 = 'n'.repeat(128);

/** The marker of a plugin as text, with other text in it. */
const markerText = (name: string, change: (json: string) => string = (json) => json): string =>
  change(JSON.stringify(markerOf(name, { 'plugin.yaml': yamlOf(name) })));
/** The same fields, and others behind them. */
const withMore = (name: string, more: string): string =>
  markerText(name, (json) => `${json.slice(0, -1)},${more}}`);

const bytes = (...parts: (Buffer | string)[]): string =>
  Buffer.concat(parts.map((part) => Buffer.from(part))).toString('base64');
const BOM = '\u{FEFF}';
const BROKEN = Buffer.from([0xc3, 0x28]);
const MARKER_MAX = 64 * 1024;
const STATE_MAX = 1024 * 1024;

const invalid = (marker: Record<string, unknown> | string): [Content, CaseAnswer] => [
  { marker },
  refused('marker-invalid'),
];
const good = (marker: Record<string, unknown> | string): [Content, CaseAnswer] => [{ marker }, admitted()];
/** A marker that cannot be written as a text. */
const raw = (base64: string): Content => ({ marker: null, more: [{ path: '.complete', base64 }] });

export const markerCases: GateCase[] = [
  pluginsCase('a full marker', {
    lint: [{}, admitted()],
    'with.dots_and-dashes': [{}, admitted()],
    '0': [{}, admitted()],
    [NAME_OF_128]: [{}, admitted()],
  }),
  pluginsCase('a full marker, with what may be in it besides', {
    'optional-fields': good({ skipped: 2, source: 'a platform', bundleUnread: true, replaced: LATER }),
    'unknown-field': good({ 'of a newer agent': { a: [1, null] } }),
    'mark-before': good(`${BOM}${markerText('mark-before')}`),
    'white-space': good(markerText('white-space', (json) => `\r\n\t ${json} \n`)),
    'version-1.0': good(markerText('version-1.0', (json) => json.replace('"version":1,', '"version":1.0,'))),
    'count-1e3': good(markerText('count-1e3', (json) => json.replace('"files":1,', '"files":1e3,'))),
    'escaped-name': good(
      markerText('escaped-name', (json) => json.replace('escaped-name', String.raw`escaped\u002dname`)),
    ),
    'no-utf-8-in-a-text': [
      raw(bytes(withMore('no-utf-8-in-a-text', '"source":"').slice(0, -1), BROKEN, '"}')),
      admitted(),
    ],
    'whole-seconds': good({ installedAt: '2026-05-08T14:15:30Z' }),
    'leap-day': good({ installedAt: '2028-02-29T23:59:59.123456789Z' }),
  }),
  pluginsCase('an empty marker: an operator says that the plugin is whole', {
    empty: [{ marker: '' }, unverified()],
    'mark-only': [{ marker: BOM }, unverified()],
  }),
  pluginsCase('an empty marker where the machine was restarted since the root was written without syncs', {
    empty: [
      { marker: '', more: [{ path: '../.volatile', text: '{"version":1,"bootId":"of another boot"}' }] },
      refused('marker-invalid'),
    ],
    full: [{}, admitted()],
  }),
  pluginsCase('an empty marker beside a note about syncs that cannot be read', {
    empty: [{ marker: '', more: [{ path: '../.volatile', text: 'half a no' }] }, refused('marker-invalid')],
  }),
  pluginsCase('no marker', { lint: [{ marker: null }, refused('no-marker')] }),
  pluginsCase(
    'no marker where the gate only warns; a wrong one is refused all the same',
    {
      unmarked: [{ marker: null }, admitted({ level: 'unmarked', generation: 'directory' })],
      touched: [{ marker: '' }, unverified()],
      lint: [{}, admitted()],
      cut: invalid('{"version":1,'),
      foreign: [{ marker: { plugin: 'lint' } }, refused('marker-foreign')],
      'no-manifest': [{ marker: null, files: { 'a.txt': 'a' } }, refused('manifest-missing')],
    },
    { options: { mode: 'warn' } },
  ),
  pluginsCase('a marker of another name: somebody copied the directory', {
    copy: [{ marker: { plugin: 'lint' } }, refused('marker-foreign')],
    'a-b': [{ marker: { plugin: 'a_b' } }, refused('marker-foreign')],
    'newer-copy': [{ marker: { version: 2, plugin: 'lint' } }, refused('marker-foreign')],
  }),
  pluginsCase('a key that is there twice: the last one counts', {
    lint: good(withMore('other', '"plugin":"lint"')),
    other: [{ marker: withMore('other', '"plugin":"lint"') }, refused('marker-foreign')],
  }),
  pluginsCase('a marker of a newer format: plugin and installId are enough', {
    newer: good(`{"version":2,"plugin":"newer","installId":"${STAMP}","tree":{"kind":"other"}}`),
    'no-install': invalid('{"version":2,"plugin":"no-install"}'),
    half: invalid(`{"version":1.5,"plugin":"half","installId":"${STAMP}"}`),
    older: invalid({ version: 0 }),
  }),
  pluginsCase('what is no marker', {
    'line-feed': invalid('\n'),
    spaces: invalid('   '),
    zeros: invalid('\0\0\0\0'),
    cut: invalid(markerText('cut').slice(0, 60)),
    twice: invalid(markerText('twice').repeat(2)),
    list: invalid(`[${markerText('list')}]`),
    text: invalid('"text"'),
    number: invalid('1'),
    nothing: invalid('null'),
    comma: invalid(markerText('comma', (json) => `${json.slice(0, -1)},}`)),
    comment: invalid(`${markerText('comment')} // whole`),
    'single-quotes': invalid(markerText('single-quotes').replaceAll('"', "'")),
    'two-marks': invalid(`${BOM}${BOM}${markerText('two-marks')}`),
    'not-a-number': invalid(withMore('not-a-number', '"x":NaN')),
    infinity: invalid(withMore('infinity', '"x":-Infinity')),
    'leading-zero': invalid(withMore('leading-zero', '"x":01')),
    'line-in-a-text': invalid(withMore('line-in-a-text', '"x":"a\nb"')),
    'other-space': invalid(`\u{A0}${markerText('other-space')}`),
    'no-utf-8': [raw(bytes(markerText('no-utf-8'), BROKEN)), refused('marker-invalid')],
  }),
  pluginsCase('a marker with a field that is not as it must be', {
    'version-text': invalid({ version: '1' }),
    'version-true': invalid({ version: true }),
    'plugin-number': invalid({ plugin: 1 }),
    'plugin-path': invalid({ plugin: '../lint' }),
    'no-plugin': invalid({ plugin: undefined }),
    'plugin-version-number': invalid({ pluginVersion: 1 }),
    'install-id-word': invalid({ installId: 'yesterday' }),
    'install-id-line': invalid({ installId: `${STAMP}\n` }),
    'install-id-digits': invalid({ installId: STAMP.replace('2026', '٢٠٢٦') }),
    'bundle-upper-case': invalid({ bundle: `sha256:${'AB'.repeat(32)}` }),
    'tree-without-algorithm': invalid({ tree: 'ab'.repeat(32) }),
    'files-negative': invalid({ files: -1 }),
    'files-half': invalid({ files: 1.5 }),
    'files-text': invalid({ files: '1' }),
    'files-true': invalid({ files: true }),
    'files-too-many': invalid({ files: 2 ** 53 }),
    'bytes-endless': invalid(
      markerText('bytes-endless', (json) => json.replace(/"bytes":\d+/, '"bytes":1e999')),
    ),
    'time-without-seconds': invalid({ installedAt: '2026-05-08T14:15Z' }),
    'time-without-hours': invalid({ installedAt: '2026-05-08' }),
    'time-of-another-zone': invalid({ installedAt: '2026-05-08T14:15:30+02:00' }),
    'time-of-no-day': invalid({ installedAt: '2026-02-29T14:15:30Z' }),
    'time-of-no-hour': invalid({ installedAt: '2026-05-08T24:15:30Z' }),
    'time-line': invalid({ installedAt: '2026-05-08T14:15:30Z\n' }),
    'no-by': invalid({ by: undefined }),
    'by-nothing': invalid({ by: null }),
    'no-replaced': invalid({ replaced: undefined }),
    'replaced-empty': invalid({ replaced: '' }),
    'skipped-none': invalid({ skipped: 0 }),
    'source-nothing': invalid({ source: null }),
    'bundle-unread-false': invalid({ bundleUnread: false }),
  }),
  pluginsCase('a marker that cannot be read', {
    'a-directory': [{ marker: null, more: [{ path: '.complete/' }] }, refused('unreadable')],
    'a-link': [{ marker: null, more: [{ path: '.complete', link: 'plugin.yaml' }] }, refused('unreadable')],
    'a-link-to-nothing': [
      { marker: null, more: [{ path: '.complete', link: 'nowhere' }] },
      refused('unreadable'),
    ],
    'utf-16': [raw(bytes(Buffer.from('\u{FEFF}{}', 'utf16le'))), refused('unreadable')],
    'the-largest': good(
      withMore('the-largest', '"x":"')
        .slice(0, -1)
        .padEnd(MARKER_MAX - 2, 'x') + '"}',
    ),
    'too-large': [
      {
        marker:
          withMore('too-large', '"x":"')
            .slice(0, -1)
            .padEnd(MARKER_MAX - 1, 'x') + '"}',
      },
      refused('unreadable'),
    ],
    huge: [
      { marker: null, more: [{ path: '.complete', text: ' ', times: 10_000_000 }] },
      refused('unreadable'),
    ],
  }),
  pluginsCase('JSON that is nested deeply, in a field that nobody needs', {
    hundred: good(withMore('hundred', `"x":${'['.repeat(100)}${']'.repeat(100)}`)),
    thousands: [
      { marker: withMore('thousands', `"x":${'['.repeat(20_000)}${']'.repeat(20_000)}`) },
      admitted(),
      refused('marker-invalid'),
    ],
    'never-closed': invalid('['.repeat(50_000)),
  }),
];

const state = (name: string, text: string): GateCase['files'][number] => ({
  path: `plugins/.state/${name}.json`,
  text,
});

/** Plugins with a state file: its text, what the gate says, and `null` for no marker. */
const statesCase = (name: string, plugins: Record<string, readonly [string, CaseAnswer, null?]>): GateCase =>
  pluginsCase(
    name,
    Object.fromEntries(
      Object.entries(plugins).map(([plugin, [text, answer, marker]]) => {
        const more = [{ path: `../.state/${plugin}.json`, text }];
        return [plugin, [marker === null ? { marker, more } : { more }, answer] as const];
      }),
    ),
  );

const disabled = refused('disabled');

export const stateCases: GateCase[] = [
  statesCase('a plugin that its owner has disabled, or of which that cannot be excluded', {
    disabled: ['{"version":1,"disabled":true}', disabled],
    'without-version': ['{"disabled":true}', disabled],
    newer: ['{"version":9,"disabled":true,"x":[]}', disabled],
    'disabled-and-no-marker': ['{"version":1,"disabled":true}', disabled, null],
    'mark-before': [`${BOM}{"disabled":true}`, disabled],
    cut: ['{"version":1,"dis', disabled],
    empty: ['', disabled],
    'not-a-number': ['{"version":NaN}', disabled],
    'the-last-counts': ['{"disabled":false,"disabled":true}', disabled],
  }),
  statesCase('a plugin that is not disabled', {
    held: ['{"version":1,"held":"tests"}', admitted()],
    'said-not-to-be': ['{"version":1,"disabled":false}', admitted()],
    word: ['{"version":1,"disabled":"true"}', admitted()],
    one: ['{"version":1,"disabled":1}', admitted()],
    list: ['[{"disabled":true}]', admitted()],
    nothing: ['null', admitted()],
    'the-last-counts': ['{"disabled":true,"disabled":false}', admitted()],
  }),
  gateCase(
    'a state that cannot be read may say that the plugin is disabled',
    [
      ...pluginFiles('a-link'),
      { path: 'plugins/.state/a-link.json', link: 'nowhere' },
      ...pluginFiles('a-directory'),
      { path: 'plugins/.state/a-directory.json/' },
      ...pluginFiles('utf-16'),
      { path: 'plugins/.state/utf-16.json', base64: bytes(Buffer.from('\u{FEFF}{}', 'utf16le')) },
      ...pluginFiles('too-large'),
      { path: 'plugins/.state/too-large.json', text: ' ', times: STATE_MAX + 1 },
    ],
    { 'a-link': disabled, 'a-directory': disabled, 'utf-16': disabled, 'too-large': disabled },
  ),
  gateCase(
    'a state says nothing about what is no directory',
    [
      { path: 'plugins/file', text: '' },
      state('file', '{"disabled":true}'),
      { path: 'plugins/link', link: 'nowhere' },
      state('link', '{"disabled":true}'),
      state('absent', '{"disabled":true}'),
    ],
    {
      file: refused('not-a-directory'),
      link: refused('symlink'),
      absent: refused('not-a-directory'),
    },
  ),
];

const intent = (changes: Record<string, unknown>): string =>
  JSON.stringify({
    version: 1,
    op: 'install',
    plugin: 'lint',
    stamp: LATER,
    operationId: 'operation-1',
    path: 'rename',
    from: { installId: STAMP, kind: 'marked' },
    source: null,
    tree: null,
    bundle: null,
    files: 0,
    bytes: 0,
    goal: 'forward',
    clearing: false,
    attempts: 0,
    owner: { bootId: 'boot', pidNamespace: '1', pid: 1, startTime: '1' },
    ...changes,
  });

/** A plugin that is absent, and what its intent says. */
const absent = (name: string, text: string, answer: CaseAnswer): GateCase =>
  gateCase(name, [{ path: `plugins/.staging/lint.${LATER}.json`, text }], { lint: answer });

export const entryCases: GateCase[] = [
  gateCase('nothing of that name', [{ path: 'plugins/' }], { lint: refused('not-a-directory') }),
  gateCase('a root that does not exist', [], { lint: refused('not-a-directory') }),
  gateCase('a file', [{ path: 'plugins/lint', text: '' }], { lint: refused('not-a-directory') }),
  gateCase(
    'a link, also one that leads to a whole plugin or to nothing',
    [
      ...pluginFiles('lint', {}, 'elsewhere'),
      { path: 'plugins/lint', link: '../elsewhere/lint' },
      { path: 'plugins/lost', link: 'nowhere' },
    ],
    { lint: refused('symlink'), lost: refused('symlink') },
  ),
  gateCase(
    'what no plugin can be called, although it lies there',
    ['My-Plugin', 'a..b', '.hidden', '-dash', '_low', 'two words', 'é', 'line\n', 'n'.repeat(129)].flatMap(
      (name) => pluginFiles(name, { marker: '' }),
    ),
    {
      'My-Plugin': refused('not-a-directory'),
      'a..b': refused('not-a-directory'),
      '.hidden': refused('not-a-directory'),
      '-dash': refused('not-a-directory'),
      _low: refused('not-a-directory'),
      'two words': refused('not-a-directory'),
      é: refused('not-a-directory'),
      'line\n': refused('not-a-directory'),
      [`${NAME_OF_128}n`]: refused('not-a-directory'),
      '': refused('not-a-directory'),
      '.': refused('not-a-directory'),
      '../plugins': refused('not-a-directory'),
      'a/b': refused('not-a-directory'),
      'a\0b': refused('not-a-directory'),
    },
    { scan: { admitted: [], refused: [], shadowed: [] } },
  ),
  gateCase(
    'what this user may not read',
    [
      ...pluginFiles('closed').map((file) => (file.path.endsWith('/') ? { ...file, mode: '000' } : file)),
      ...pluginFiles('not-listed').map((file) => (file.path.endsWith('/') ? { ...file, mode: '311' } : file)),
      ...pluginFiles('only-listed').map((file) =>
        file.path.endsWith('/') ? { ...file, mode: '744' } : file,
      ),
      ...pluginFiles('marker', { marker: null, more: [{ path: '.complete', text: '', mode: '600' }] }),
      ...pluginFiles('manifest').map((file) =>
        file.path.endsWith('plugin.yaml') ? { ...file, mode: '600' } : file,
      ),
      ...pluginFiles('state'),
      { ...state('state', '{}'), mode: '600' },
      ...pluginFiles('lint'),
    ],
    {
      closed: refused('unreadable'),
      'not-listed': refused('unreadable'),
      'only-listed': refused('unreadable'),
      marker: refused('unreadable'),
      manifest: refused('unreadable'),
      state: disabled,
      lint: admitted(),
    },
    { user: 'other' },
  ),
  absent('absent, and an intent says that a swap is under way', intent({}), refused('in-transition')),
  absent(
    'absent, and an intent says that a removal is being undone',
    intent({ op: 'remove', goal: 'back' }),
    refused('in-transition'),
  ),
  absent('absent, and the swap is an exchange', intent({ path: 'exchange' }), refused('not-a-directory')),
  absent('absent, and this is its first install', intent({ from: null }), refused('not-a-directory')),
  absent('absent, and it is being removed', intent({ op: 'remove' }), refused('not-a-directory')),
  absent(
    'absent, and the intent is of another plugin',
    intent({ plugin: 'other' }),
    refused('not-a-directory'),
  ),
  absent('absent, and what lies there is no intent', '{"plugin":"lint"}', refused('not-a-directory')),
];
