import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { inspect, verifyPlugin } from '../../agent/store/inspect.ts';
import type { Marker } from '../../shared/format/marker.ts';
import {
  START,
  bundleOf,
  contentOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  realRoot,
  rollBack,
  sha256,
  yamlOf,
} from '../_kit/install-room.ts';
import { file, gzip, symlink, tar } from '../_kit/tar-builder.ts';

const OLD = bundleOf({ 'rules/a.md': 'old', 'hooks/run.sh': '#!/bin/sh\n' }, '1.0.0');
const NEW = bundleOf({ 'rules/b.md': 'new' }, '2.0.0');
const JUNK = 'half-copied';

const markerAt = (directory: string): Marker =>
  JSON.parse(readFileSync(join(directory, '.complete'), 'utf8')) as Marker;

describe('a first install', () => {
  it('puts the plugin in its place, with its modes, and leaves nothing in staging', async () => {
    const room = makeRoom();
    const answer = await deliver(room, OLD);
    const live = photograph(nodeDisk, room.layout.live('lint'));
    expect(live).toEqual({
      '': 'directory 755',
      '/.complete': `file 644 ${contentOf(nodeDisk, join(room.layout.live('lint'), '.complete'))}`,
      '/hooks': 'directory 755',
      '/hooks/run.sh': 'file 755 #!/bin/sh\n',
      '/plugin.yaml': `file 644 ${yamlOf('lint', '1.0.0')}`,
      '/rules': 'directory 755',
      '/rules/a.md': 'file 644 old',
    });
    expect(answer).toMatchObject({ status: 'installed', plugin: 'lint', replaced: null });
    expect([namesIn(room, room.layout.staging), namesIn(room, room.layout.previous)]).toEqual([[], []]);
    expect(room.complaints).toEqual([]);
    expect(inspect(room.context, 'lint')).toMatchObject({ admitted: true, level: 'verified' });
  });

  it('writes a marker that says all of it', async () => {
    const room = makeRoom();
    await deliver(room, OLD, { source: 'registry/lint@1.0.0' });
    expect(markerAt(room.layout.live('lint'))).toEqual({
      version: 1,
      plugin: 'lint',
      pluginVersion: '1.0.0',
      installId: `20260508T141530123Z-${sha256(OLD).slice(0, 8)}`,
      bundle: `sha256:${sha256(OLD)}`,
      // Computed with printf and sha256sum over the three lines of the list, not with the code under test.
      tree: 'sha256:edeac2ed5989a7af16c91f3dc404ec3ce0ae36b9cd247a12425690792fdea039',
      files: 3,
      bytes: 39,
      installedAt: '2026-05-08T14:15:30.123Z',
      source: 'registry/lint@1.0.0',
      by: 'tester',
      replaced: null,
    });
  });

  it('writes a receipt with every file and what was left out, readable by the runtime', async () => {
    const room = makeRoom();
    const bytes = gzip(
      tar(file('plugin.yaml', yamlOf()), symlink('l', '/etc'), file('a.pyc', 'x'), file('a', 'x')),
    );
    const { installId } = await deliver(room, bytes);
    const path = room.layout.receipt('lint', installId);
    const { list, skipped, bundleLinks, warnings, ...said } = JSON.parse(
      readFileSync(path, 'utf8'),
    ) as Record<string, unknown>;
    const { skipped: links, ...marker } = markerAt(room.layout.live('lint'));
    expect([said, links]).toEqual([marker, 1]);
    expect(list).toEqual([
      { path: 'plugin.yaml', size: yamlOf().length, mode: '644', sha256: sha256(yamlOf()) },
      { path: 'a', size: 1, mode: '644', sha256: sha256('x') },
    ]);
    expect([skipped, bundleLinks]).toEqual([['a.pyc', 'l'], 'copy']);
    expect(warnings).toMatchObject({ total: 2 });
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  it('answers with what the marker says, the warnings and what it means for the runtime', async () => {
    const room = makeRoom();
    const bytes = gzip(tar(file('plugin.yaml', yamlOf()), symlink('l', '/etc')));
    const answer = await deliver(room, bytes, { restart: false });
    const { version: _version, ...marker } = markerAt(room.layout.live('lint'));
    expect(answer).toMatchObject({ ...marker, status: 'installed' });
    expect(answer.warnings).toEqual({ items: [expect.stringContaining('link')], total: 1 });
    expect(answer.reload).toMatchObject({ kind: 'cold', action: 'restart', restarting: false });
  });

  it('keeps staging and snapshots to the agent alone, and lets the rest be read', () => {
    const { layout } = makeRoom();
    const mode = (path: string): number => statSync(path).mode & 0o777;
    expect([mode(layout.staging), mode(layout.previous)]).toEqual([0o700, 0o700]);
    expect([mode(layout.receipts), mode(layout.state), mode(layout.operations)]).toEqual([
      0o755, 0o755, 0o755,
    ]);
  });

  it('changes nothing beside the root', async () => {
    const room = makeRoom();
    const beside = dirname(room.layout.root);
    mkdirSync(room.layout.data('lint'), { recursive: true });
    writeFileSync(join(room.layout.data('lint'), 'kept'), 'x');
    await deliver(room, OLD);
    await deliver(room, NEW);
    expect(photograph(nodeDisk, beside)['/plugin-data/lint/kept']).toBe('file 644 x');
    expect(nodeDisk.list(beside).map(({ name }) => name)).toHaveLength(2);
  });
});

describe('an update', () => {
  it('puts the new version in place whole, keeps the old one whole, and says what it replaced', async () => {
    const room = makeRoom();
    const first = await deliver(room, OLD);
    const before = photograph(nodeDisk, room.layout.live('lint'));
    const second = await deliver(room, NEW);
    expect(Object.keys(photograph(nodeDisk, room.layout.live('lint')))).toEqual(
      expect.arrayContaining(['/plugin.yaml', '/rules/b.md']),
    );
    expect(existsSync(join(room.layout.live('lint'), 'rules/a.md'))).toBe(false);
    expect(photograph(nodeDisk, room.layout.snapshot('lint', second.installId))).toEqual(before);
    expect([first.replaced, second.replaced]).toEqual([null, first.installId]);
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  });

  it('gives each install a stamp of its own, later than all before, whatever the clock says', async () => {
    const room = makeRoom({ keep: 9 });
    const ids: string[] = [];
    for (const [i, minutes] of [0, 0, -60, 5].entries()) {
      room.clock.now = START + minutes * 60_000;
      ids.push((await deliver(room, bundleOf({ n: String(i) }))).installId);
    }
    expect(ids.map((id) => id.slice(0, 19))).toEqual([
      '20260508T141530123Z',
      '20260508T141530124Z',
      '20260508T141530125Z',
      '20260508T142030123Z',
    ]);
    expect(ids.toSorted()).toEqual(ids);
  });

  it('is not stopped by a file with a stamp that is no date', async () => {
    const room = makeRoom();
    writeFileSync(room.layout.receipt('lint', '20269999T999999999Z-00000000'), '{}');
    expect((await deliver(room, OLD)).installId).toMatch(/^20260508T141530123Z/);
  });

  it('replaces a directory that somebody half-copied, and keeps it', async () => {
    const room = makeRoom();
    mkdirSync(room.layout.live('lint'));
    writeFileSync(join(room.layout.live('lint'), JUNK), 'x');
    const { replaced, installId } = await deliver(room, OLD, { expect: { installId: null } }).catch(() =>
      deliver(room, OLD),
    );
    expect(replaced).toBeNull();
    expect(photograph(nodeDisk, room.layout.live('lint'))).not.toHaveProperty(`/${JUNK}`);
    expect(photograph(nodeDisk, room.layout.snapshot('lint', installId))).toEqual({
      '': 'directory 755',
      [`/${JUNK}`]: 'file 644 x',
    });
  });

  it.each([
    ['a file', (path: string) => writeFileSync(path, JUNK)],
    ['a link to nothing', (path: string) => symlinkSync('nowhere', path)],
    ['a link to a directory', (path: string) => symlinkSync('..', path)],
    ['an empty directory', (path: string) => mkdirSync(path)],
  ])('replaces %s in the live place, and follows no link', async (_what, make) => {
    const room = makeRoom();
    make(room.layout.live('lint'));
    const kind = nodeDisk.stat(room.layout.live('lint'))?.kind;
    const { installId, replaced } = await deliver(room, OLD);
    expect(replaced).toBeNull();
    expect(inspect(room.context, 'lint')).toMatchObject({ admitted: true, installId });
    expect(nodeDisk.stat(room.layout.snapshot('lint', installId))?.kind).toBe(kind);
  });
});

describe('what is there already', () => {
  it('is answered as present, by the same bundle or the same tree, without a slot', async () => {
    const room = makeRoom();
    const first = await deliver(room, OLD);
    const before = photograph(nodeDisk, room.layout.root);
    const repacked = gzip(Buffer.alloc(0), tar(file('plugin.yaml', 'other bytes')));
    for (const [bytes, more] of [
      [OLD, {}],
      [repacked, { tree: first.tree }],
    ] as const) {
      const again = await deliver(room, bytes, more);
      const { status, reload, warnings, ...same } = again;
      expect([status, reload.action, warnings.total]).toEqual(['present', 'none', 0]);
      expect(first).toMatchObject(same);
    }
    const after = photograph(nodeDisk, room.layout.root);
    const outside = (path: string): boolean => !path.startsWith('/.operations');
    expect(Object.keys(after).filter(outside)).toEqual(Object.keys(before).filter(outside));
  });

  const drift: [what: string, change: (live: string) => void][] = [
    ['a file was edited', (live) => writeFileSync(join(live, 'rules/a.md'), 'OLD')],
    ['a file is missing', (live) => rmSync(join(live, 'rules/a.md'))],
    ['a file was added', (live) => writeFileSync(join(live, 'rules/z.md'), 'x')],
    ['a mode was changed', (live) => chmodSync(join(live, 'rules/a.md'), 0o755)],
    ['a link was added', (live) => symlinkSync('/etc', join(live, 'etc'))],
    ['the marker is gone', (live) => rmSync(join(live, '.complete'))],
    ['the marker is empty', (live) => writeFileSync(join(live, '.complete'), '')],
    ['the marker is torn', (live) => writeFileSync(join(live, '.complete'), '{"version":1,')],
    // Was a bug too: without its receipt, live's own stamp was not known, and could be given again.
    ['the receipt is gone', (live) => rmSync(join(live, '../.receipts'), { recursive: true })],
  ];

  it.each(drift)('is delivered again where %s', async (_what, change) => {
    const room = makeRoom();
    const first = await deliver(room, OLD);
    change(room.layout.live('lint'));
    mkdirSync(room.layout.receipts, { recursive: true });
    const second = await deliver(room, OLD);
    expect([second.status, second.installId === first.installId]).toEqual(['installed', false]);
    expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
  });

  it('is delivered again by force', async () => {
    const room = makeRoom();
    const first = await deliver(room, OLD);
    const second = await deliver(room, OLD, { force: true });
    expect([second.status, second.replaced]).toEqual(['installed', first.installId]);
    expect(second.reload).toMatchObject({ kind: 'identical', action: 'none' });
  });

  it('is still present after a hook has left its cache', async () => {
    const room = makeRoom();
    await deliver(room, OLD);
    mkdirSync(join(room.layout.live('lint'), 'hooks/__pycache__'));
    writeFileSync(join(room.layout.live('lint'), 'hooks/__pycache__/run.pyc'), 'x');
    expect((await deliver(room, OLD)).status).toBe('present');
  });

  // Was a bug: what was declared beside the bundle was not looked at where the bundle was live.
  it('is not present to who declares another tree or pins another manifest', async () => {
    const room = makeRoom();
    const { tree } = await deliver(room, OLD);
    const other = `sha256:${'0'.repeat(64)}`;
    expect((await faultOf(() => deliver(room, OLD, { tree: other }))).code).toBe('DIGEST_MISMATCH');
    expect((await faultOf(() => deliver(room, OLD, { pin: other }))).code).toBe('MANIFEST_MISMATCH');
    const pin = `sha256:${sha256(yamlOf('lint', '1.0.0'))}`;
    expect((await deliver(room, OLD, { tree, pin })).status).toBe('present');
  });
});

describe('links of a bundle that is live already', () => {
  const LINKED = gzip(tar(file('plugin.yaml', yamlOf()), symlink('also.yaml', 'plugin.yaml')));

  // Was a bug: whoever refuses links was told that the bundle is present, with copies in the place of its links.
  it.each(['copy', 'skip'] as const)('are refused, though the install of it had "%s"', async (links) => {
    const room = makeRoom();
    const first = await deliver(room, LINKED, { links });
    expect((await faultOf(() => deliver(room, LINKED, { links: 'refuse' }))).code).toBe('ARCHIVE_TYPE');
    expect((await deliver(room, LINKED, { links })).status).toBe('present');
    expect(markerAt(room.layout.live('lint')).installId).toBe(first.installId);
  });

  it('become what is asked for now, if that is something else', async () => {
    const room = makeRoom();
    await deliver(room, LINKED);
    const { status, files } = await deliver(room, LINKED, { links: 'skip' });
    expect([status, files]).toEqual(['installed', 1]);
  });

  it('are no question for a bundle that has none: it is present whatever is asked for', async () => {
    const room = makeRoom();
    await deliver(room, OLD);
    for (const links of ['copy', 'skip', 'refuse'] as const) {
      expect((await deliver(room, OLD, { links })).status).toBe('present');
    }
    await deliver(room, NEW);
    rollBack(room);
    expect((await deliver(room, OLD, { links: 'refuse', force: false })).status).toBe('present');
  });

  it('are looked for in the bytes, if only the tree is the same or the receipt does not say', async () => {
    const room = makeRoom();
    const { tree, installId } = await deliver(room, OLD);
    const same = bundleOf({ 'rules/a.md': 'old', 'hooks/run.sh': '#!/bin/sh\n', 'a.pyc': 'x' }, '1.0.0');
    const second = await deliver(room, same, { tree, links: 'refuse' });
    expect([second.status, second.replaced, second.reload.action]).toEqual(['installed', installId, 'none']);
    const path = room.layout.receipt('lint', second.installId);
    const { bundleLinks: _, ...older } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify(older));
    expect((await deliver(room, same)).status).toBe('present');
    expect((await deliver(room, same, { links: 'refuse' })).status).toBe('installed');
    expect((await deliver(room, same, { links: 'refuse' })).status).toBe('present');
  });

  it('a repeated operation has the same answer, whatever has become of the bundle', async () => {
    const room = makeRoom();
    const operationId = 'operation-links';
    const first = await deliver(room, OLD, { operationId, links: 'refuse' });
    expect(await deliver(room, OLD, { operationId, links: 'refuse' })).toEqual(first);
  });
});

describe('the warnings of a bundle', () => {
  const WARNED = gzip(
    tar(file('plugin.yaml', yamlOf()), file('skills/a/SKILL.md', 'x'), file('.DS_Store', 'x')),
  );

  it('are said again when the bundle is sent again, also after a rollback', async () => {
    const room = makeRoom();
    const { warnings } = await deliver(room, WARNED);
    expect(warnings.total).toBeGreaterThan(1);
    expect(await deliver(room, WARNED)).toMatchObject({ status: 'present', warnings });
    await deliver(room, NEW);
    rollBack(room);
    expect(await deliver(room, WARNED)).toMatchObject({ status: 'present', warnings });
  });

  it('are kept only as far as an answer holds them', async () => {
    const room = makeRoom();
    const litter = Array.from({ length: 300 }, (_, i) => file(`${'d'.repeat(90)}/${i}.pyc`, 'x'));
    const bytes = gzip(tar(file('plugin.yaml', yamlOf()), ...litter));
    const { warnings, installId } = await deliver(room, bytes);
    expect([warnings.total, warnings.items.length]).toEqual([300, 100]);
    const receipt = JSON.parse(readFileSync(room.layout.receipt('lint', installId), 'utf8')) as object;
    expect(receipt).toMatchObject({ warnings });
    expect((await deliver(room, bytes)).warnings).toEqual(warnings);
  });
});

describe('what an install replaces', () => {
  const SKILL = gzip(tar(file('SKILL.md', '---\nname: lint\ndescription: lints\n---\n')));

  it('is said with its version', async () => {
    const room = makeRoom();
    expect((await deliver(room, OLD)).replacedVersion).toBeNull();
    const { replacedVersion, warnings } = await deliver(room, NEW);
    expect([replacedVersion, warnings.total]).toEqual(['1.0.0', 0]);
    expect(rollBack(room)).toMatchObject({ pluginVersion: '1.0.0', replacedVersion: '2.0.0' });
    expect(await deliver(room, OLD)).not.toHaveProperty('replacedVersion');
  });

  it('has the version of its manifest, if it has no marker', async () => {
    const room = makeRoom();
    mkdirSync(room.layout.live('lint'));
    writeFileSync(join(room.layout.live('lint'), 'plugin.yaml'), yamlOf('lint', '0.5.0'));
    expect((await deliver(room, OLD)).replacedVersion).toBe('0.5.0');
  });

  it('is warned of, if it has another kind of manifest', async () => {
    const room = makeRoom();
    await deliver(room, OLD);
    const { warnings } = await deliver(room, SKILL);
    expect(warnings.items).toEqual([
      expect.stringMatching(
        /^It replaces version 1\.0\.0 that has a plugin\.yaml, the new one has a SKILL\.md: /,
      ),
    ]);
    expect((await deliver(room, SKILL)).warnings.total).toBe(0);
  });

  it.each([
    ['registry/lint@1.0.0', 'registry/lint@2.0.0', false],
    ['https://example.com/v1.0.0/lint-1.0.0.tgz', 'https://example.com/v2.0.0/lint-2.0.0.tgz', false],
    ['https://example.com/lint.git#0a1b2c', 'https://example.com/lint.git#d3e4f5', false],
    [undefined, 'registry/lint', false],
    ['registry/lint', 'registry/lint', false],
    ['registry/lint@1.0.0', 'other/lint@2.0.0', true],
    ['git@example.com:a/lint', 'git@example.com:b/lint', true],
    ['registry/lint', undefined, true],
  ])('is warned of, if it came from another source: %s, then %s', async (before, after, isWarned) => {
    const room = makeRoom();
    await deliver(room, OLD, before === undefined ? {} : { source: before });
    const { warnings } = await deliver(room, NEW, after === undefined ? {} : { source: after });
    const said = isWarned ? [expect.stringContaining(`that came from "${before}"`)] : [];
    expect(warnings.items).toEqual(said);
  });
});

describe('a root behind a link', () => {
  // Was a bug: preparing it let it pass, and the first sync of its names did not follow the link.
  it('takes installs and updates like any other', async () => {
    const root = realRoot();
    mkdirSync(root);
    symlinkSync('plugins', `${root}-link`);
    const room = makeRoom({}, nodeDisk, `${root}-link`);
    await deliver(room, OLD);
    const { replaced } = await deliver(room, NEW);
    expect(replaced).not.toBeNull();
    expect(readFileSync(join(root, 'lint', 'rules/b.md'), 'utf8')).toBe('new');
  });
});
