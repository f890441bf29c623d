/** Cases about what was installed, and about several roots. */
import {
  type CaseAnswer,
  type CaseFile,
  type Content,
  type GateCase,
  STAMP,
  admitted,
  gateCase,
  markerOf,
  pluginFiles,
  pluginsCase,
  receiptOf,
  refused,
  unverified,
  yamlOf,
} from './case.ts';

/** The files of a plugin as they were installed. */
const INSTALLED = {
  'plugin.yaml': yamlOf('lint'),
  'rules/a.md': 'one\n',
  'hooks/run.sh': '#!/bin/sh\n',
};
const changed = (files: Record<string, string>): Record<string, string> => ({ ...INSTALLED, ...files });

/** A plugin with other files than its marker and its receipt say. */
const live = (files: Record<string, string>, more: CaseFile[] = []): Content => ({ files, more });

/** Plugins of which each was installed with the same files; `receipt: null`: it is missing. */
function installedCase(
  name: string,
  verify: 'stat' | 'digest',
  plugins: Record<string, readonly [Content, CaseAnswer, (string | null)?]>,
  ignore?: string[],
): GateCase {
  const files = Object.entries(plugins).flatMap(([plugin, [content, , receipt]]) => {
    const { tree, files: count, bytes } = markerOf(plugin, INSTALLED);
    const marker = content.marker ?? JSON.stringify({ ...markerOf(plugin, {}), tree, files: count, bytes });
    const written = receiptOf(plugin, INSTALLED);
    const receipts =
      receipt === null ? [] : [receipt === undefined ? written : { ...written, text: receipt }];
    return [...pluginFiles(plugin, { ...content, marker }), ...receipts];
  });
  const gate = Object.fromEntries(Object.entries(plugins).map(([plugin, [, answer]]) => [plugin, answer]));
  const options = ignore === undefined ? { verify } : { verify, ignore };
  return gateCase(name, files, gate, { options });
}

const DIFFERS = refused('digest-mismatch');
const { 'rules/a.md': _, ...WITHOUT } = INSTALLED;

/** What every comparison finds. */
const FOUND: Record<string, readonly [Content, CaseAnswer]> = {
  same: [live(INSTALLED), admitted()],
  longer: [live(changed({ 'rules/a.md': 'one and more\n' })), DIFFERS],
  missing: [live(WITHOUT), DIFFERS],
  unlisted: [live(changed({ 'rules/b.md': '' })), DIFFERS],
  'not-executable': [
    live(INSTALLED, [{ path: 'hooks/run.sh', text: INSTALLED['hooks/run.sh'], mode: '644' }]),
    DIFFERS,
  ],
  'executable-by-others': [
    live(INSTALLED, [{ path: 'rules/a.md', text: INSTALLED['rules/a.md'], mode: '655' }]),
    admitted(),
  ],
  'a-link': [live(INSTALLED, [{ path: 'rules/link.md', link: 'a.md' }]), DIFFERS],
  'a-link-for-a-file': [live(WITHOUT, [{ path: 'rules/a.md', link: '../plugin.yaml' }]), DIFFERS],
  'a-link-to-a-directory': [live(INSTALLED, [{ path: 'more', link: 'rules' }]), DIFFERS],
  'a-directory-for-a-file': [live(WITHOUT, [{ path: 'rules/a.md/' }]), DIFFERS],
  'an-empty-directory': [live(INSTALLED, [{ path: 'cache/deep/' }]), admitted()],
  'ignored-files': [
    live(
      changed({
        'hooks/__pycache__/run.cpython-312.pyc': 'x',
        'rules/a.md~': 'x',
        'rules/.a.md.swp': 'x',
        '.DS_Store': 'x',
      }),
      [{ path: '__MACOSX/link', link: 'nowhere' }],
    ),
    admitted(),
  ],
  'an-ignored-name-for-a-directory': [live(changed({ 'rules/a.md~/b': 'x' })), DIFFERS],
  'a-marker-deeper': [live(changed({ 'rules/.complete': '' })), DIFFERS],
  touched: [{ files: changed({ 'rules/a.md': 'two\n' }), marker: '' }, unverified()],
};

const foreignReceipt = receiptOf('other', INSTALLED).text ?? '';
const newer = (name: string): string => `{"version":2,"plugin":"${name}","installId":"${STAMP}"}`;

export const verifyCases: GateCase[] = [
  installedCase('verify "digest": every byte is compared with what was installed', 'digest', {
    ...FOUND,
    'same-size': [live(changed({ 'rules/a.md': 'two\n' })), DIFFERS],
    'no-receipt': [live(INSTALLED), admitted(), null],
    'no-receipt-and-changed': [live(changed({ 'rules/a.md': 'two\n' })), DIFFERS, null],
    'no-receipt-and-a-link': [live(INSTALLED, [{ path: 'link', link: 'rules' }]), DIFFERS, null],
    'receipt-cut': [live(INSTALLED), admitted(), '{"version":1'],
    'newer-marker': [
      { ...live(changed({ 'rules/a.md': 'two\n' })), marker: newer('newer-marker') },
      admitted(),
      null,
    ],
  }),
  installedCase('verify "stat": names, sizes and modes are compared with what was installed', 'stat', {
    ...FOUND,
    'same-size': [live(changed({ 'rules/a.md': 'two\n' })), admitted()],
    'no-receipt': [live(changed({ 'rules/b.md': '' })), admitted(), null],
    'receipt-cut': [live(changed({ 'rules/b.md': '' })), admitted(), '{"version":1'],
    'receipt-of-another': [live(changed({ 'rules/b.md': '' })), admitted(), foreignReceipt],
  }),
  installedCase(
    'names that the owner leaves out besides',
    'digest',
    {
      'a-name': [live(changed({ 'rules/local.json': 'x' })), admitted()],
      'a-directory': [live(changed({ 'local.json/deep/a': 'x' })), admitted()],
      'an-ending': [live(changed({ 'rules/a.bak': 'x' })), admitted()],
      'a-beginning': [live(changed({ 'tmp1/a': 'x' })), admitted()],
      'another-name': [live(changed({ 'local.json5': 'x' })), DIFFERS],
      'another-beginning': [live(changed({ atmp: 'x' })), DIFFERS],
    },
    ['local.json', '*.bak', 'tmp*'],
  ),
  pluginsCase('verify "marker": edits in place are not looked for', {
    edited: [{ marker: { tree: `sha256:${'0'.repeat(64)}`, files: 7 } }, admitted()],
  }),
];

const SHARED = 'shared';
const two = (
  name: string,
  files: CaseFile[],
  gate: GateCase['gate'],
  scan: GateCase['scan'],
  rest: Partial<GateCase> = {},
): GateCase => gateCase(name, files, gate, { roots: ['plugins', SHARED], ...(scan && { scan }), ...rest });

export const rootCases: GateCase[] = [
  two(
    'the first root that admits a plugin wins',
    [
      ...pluginFiles('both'),
      ...pluginFiles('both', {}, SHARED),
      ...pluginFiles('only-shared', {}, SHARED),
      ...pluginFiles('own'),
    ],
    { both: admitted(), 'only-shared': admitted({ root: SHARED }), own: admitted() },
    {
      admitted: [
        { name: 'both', root: 'plugins' },
        { name: 'only-shared', root: SHARED },
        { name: 'own', root: 'plugins' },
      ],
      refused: [],
      shadowed: [{ name: 'both', root: SHARED, by: 'plugins' }],
    },
  ),
  two(
    'a refused plugin does not hide the one of a later root, and is reported',
    [
      ...pluginFiles('half', { marker: null }),
      ...pluginFiles('half', {}, SHARED),
      { path: 'plugins/link', link: 'nowhere' },
      ...pluginFiles('link', { marker: '' }, SHARED),
    ],
    { half: admitted({ root: SHARED }), link: { ...unverified(), root: SHARED } },
    {
      admitted: [
        { name: 'half', root: SHARED },
        { name: 'link', root: SHARED },
      ],
      refused: [
        { name: 'half', root: 'plugins', reason: 'no-marker' },
        { name: 'link', root: 'plugins', reason: 'symlink' },
      ],
      shadowed: [],
    },
  ),
  two(
    'a plugin that all roots refuse: the gate says why the first one that has it does',
    [
      ...pluginFiles('half', { marker: null }),
      ...pluginFiles('half', { marker: 'no' }, SHARED),
      ...pluginFiles('late', { files: {} }, SHARED),
    ],
    { half: refused('no-marker'), late: refused('manifest-missing', SHARED) },
    {
      admitted: [],
      refused: [
        { name: 'half', root: 'plugins', reason: 'no-marker' },
        { name: 'half', root: SHARED, reason: 'marker-invalid' },
        { name: 'late', root: SHARED, reason: 'manifest-missing' },
      ],
      shadowed: [],
    },
  ),
  two(
    'a plugin that is shadowed is not judged',
    [
      ...pluginFiles('both'),
      ...pluginFiles('both', { marker: 'no' }, SHARED),
      { path: 'shared/lint', text: '' },
      ...pluginFiles('lint'),
    ],
    { both: admitted(), lint: admitted() },
    {
      admitted: [
        { name: 'both', root: 'plugins' },
        { name: 'lint', root: 'plugins' },
      ],
      refused: [],
      shadowed: [
        { name: 'both', root: SHARED, by: 'plugins' },
        { name: 'lint', root: SHARED, by: 'plugins' },
      ],
    },
  ),
  two(
    'a plugin that is disabled in a root is disabled in all later ones, also if it is not in that root',
    [
      ...pluginFiles('both'),
      ...pluginFiles('both', {}, SHARED),
      { path: 'plugins/.state/both.json', text: '{"disabled":true}' },
      ...pluginFiles('only-shared', {}, SHARED),
      { path: 'plugins/.state/only-shared.json', text: '{"disabled":true}' },
      ...pluginFiles('later'),
      ...pluginFiles('later', {}, SHARED),
      { path: 'shared/.state/later.json', text: '{"disabled":true}' },
    ],
    { both: refused('disabled'), 'only-shared': refused('disabled', SHARED), later: admitted() },
    {
      admitted: [{ name: 'later', root: 'plugins' }],
      refused: [
        { name: 'both', root: 'plugins', reason: 'disabled' },
        { name: 'both', root: SHARED, reason: 'disabled' },
        { name: 'only-shared', root: SHARED, reason: 'disabled' },
      ],
      shadowed: [{ name: 'later', root: SHARED, by: 'plugins' }],
    },
  ),
  two(
    'the runtime and the mode count in every root',
    [
      ...pluginFiles('other', { files: { 'plugin.yaml': `${yamlOf('other')}runtimes: [x]\n` } }),
      ...pluginFiles('other', { marker: null }, SHARED),
    ],
    {
      other: {
        admitted: true,
        root: SHARED,
        level: 'unmarked',
        generation: 'directory',
        version: '1.2.3',
      },
    },
    {
      admitted: [{ name: 'other', root: SHARED }],
      refused: [{ name: 'other', root: 'plugins', reason: 'runtime-unsupported' }],
      shadowed: [],
    },
    { options: { runtime: 'claude-code', mode: 'warn' } },
  ),
  two(
    'a root that does not exist, and one that is a file, hold nothing',
    [{ path: 'plugins', text: '' }],
    { lint: refused('unreadable') },
    { admitted: [], refused: [], shadowed: [] },
  ),
  gateCase(
    'a root that does not exist does not hide the others',
    pluginFiles('lint', {}, SHARED),
    { lint: admitted({ root: SHARED }) },
    { roots: ['plugins', SHARED] },
  ),
  gateCase(
    'what is sorted: the names, then the order of the roots',
    ['b', 'a.b', 'a-b', 'a0', 'a', 'a_b'].flatMap((name) => [
      ...pluginFiles(name, { marker: 'no' }, 'z'),
      ...pluginFiles(name, {}, 'y'),
      ...pluginFiles(name, { marker: 'no' }, 'x'),
    ]),
    Object.fromEntries(['b', 'a.b', 'a-b', 'a0', 'a', 'a_b'].map((name) => [name, admitted({ root: 'y' })])),
    {
      roots: ['z', 'y', 'x'],
      scan: {
        admitted: ['a', 'a-b', 'a.b', 'a0', 'a_b', 'b'].map((name) => ({ name, root: 'y' })),
        refused: ['a', 'a-b', 'a.b', 'a0', 'a_b', 'b'].map((name) => ({
          name,
          root: 'z',
          reason: 'marker-invalid',
        })),
        shadowed: ['a', 'a-b', 'a.b', 'a0', 'a_b', 'b'].map((name) => ({ name, root: 'x', by: 'y' })),
      },
    },
  ),
  gateCase(
    'entries of a root that are no plugins are passed over',
    [
      ...pluginFiles('lint'),
      { path: 'plugins/.staging/lint.x/' },
      { path: 'plugins/.previous/' },
      { path: 'plugins/lost+found/' },
      { path: 'plugins/notes.txt', text: 'a file whose name a plugin could have' },
      { path: 'plugins/README', text: 'a file' },
    ],
    { lint: admitted() },
    {
      scan: {
        admitted: [{ name: 'lint', root: 'plugins' }],
        refused: [{ name: 'notes.txt', root: 'plugins', reason: 'not-a-directory' }],
        shadowed: [],
      },
    },
  ),
];
