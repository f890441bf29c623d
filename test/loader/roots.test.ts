import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { Fault, type Scan, createLoader } from '../../loader/index.ts';
import { mountOver, needMounts } from '../_kit/mounts.ts';
import { LATER, STAMP, install, makeRoot, writeFiles, writeIntent, yamlOf } from '../_kit/loader-root.ts';

const names = ({ admitted }: Scan): string[] => admitted.map(({ name }) => name);

test('a scan admits, refuses and sorts by name', async () => {
  const { root, ...layout } = await makeRoot();
  for (const name of ['b', 'a', 'c-1']) await install({ root, ...layout }, name);
  await writeFiles(layout.live('half'), { 'plugin.yaml': yamlOf('half') });
  await writeFile(layout.live('notes.txt'), '');
  const scan = await createLoader({ roots: [root] }).scan();
  expect(names(scan)).toEqual(['a', 'b', 'c-1']);
  expect(scan.refused.map(({ name, reason }) => [name, reason])).toEqual([
    ['half', 'no-marker'],
    ['notes.txt', 'not-a-directory'],
  ]);
  expect(scan).toMatchObject({ shadowed: [], warnings: [] });
});

test('lost+found, names that are none and all that begins with a dot are invisible to a scan', async () => {
  const layout = await makeRoot();
  for (const name of ['lost+found', 'README', '.hidden', '.trash.x']) await mkdir(join(layout.root, name));
  expect(await createLoader({ roots: [layout.root] }).scan()).toEqual({
    admitted: [],
    refused: [],
    shadowed: [],
    warnings: [],
  });
});

test('the first root that admits a name wins, and hides those behind it', async () => {
  const [first, second, third] = [await makeRoot(), await makeRoot(), await makeRoot()];
  await install(second, 'lint', undefined, STAMP);
  await install(third, 'lint', undefined, LATER);
  const loader = createLoader({ roots: [first.root, second.root, third.root] });
  expect(await loader.gate('lint')).toMatchObject({
    admitted: true,
    plugin: { root: second.root },
    passedOver: [],
  });
  const scan = await loader.scan();
  expect(scan.admitted).toMatchObject([{ name: 'lint', root: second.root, generation: STAMP }]);
  expect(scan.shadowed).toEqual([{ name: 'lint', root: third.root, by: second.root }]);
});

test('a refused plugin gives way to the one in a fallback root, and is reported', async () => {
  const [own, shared] = [await makeRoot(), await makeRoot()];
  await writeFiles(own.live('lint'), { 'plugin.yaml': yamlOf('lint') });
  await install(shared, 'lint');
  const loader = createLoader({ roots: [own.root, shared.root] });
  const report = { name: 'lint', root: own.root, reason: 'no-marker' };
  expect(await loader.gate('lint')).toMatchObject({ plugin: { root: shared.root }, passedOver: [report] });
  expect(await loader.scan()).toMatchObject({
    admitted: [{ root: shared.root }],
    refused: [report],
    shadowed: [],
  });
});

test('refused everywhere: the gate says what the first root says that knows the name', async () => {
  const [own, shared] = [await makeRoot(), await makeRoot()];
  await symlink('x', shared.live('lint'));
  const loader = createLoader({ roots: [own.root, shared.root] });
  expect(await loader.gate('lint')).toMatchObject({ admitted: false, reason: 'symlink', root: shared.root });
  expect(await loader.gate('nothing')).toMatchObject({ reason: 'not-a-directory', root: own.root });
});

test('what the workspace disables is not replaced by the shared one', async () => {
  const [own, shared] = [await makeRoot(), await makeRoot()];
  await install(shared, 'lint');
  await writeFile(own.stateOf('lint'), '{"disabled":true}');
  const loader = createLoader({ roots: [own.root, shared.root] });
  expect(await loader.gate('lint')).toMatchObject({ reason: 'disabled', root: shared.root });
  expect(await loader.scan()).toMatchObject({
    admitted: [],
    refused: [{ reason: 'disabled', root: shared.root }],
  });
});

test('what a shared root disables stays enabled in the workspace', async () => {
  const [own, shared] = [await makeRoot(), await makeRoot()];
  await install(own, 'lint');
  await writeFile(shared.stateOf('lint'), '{"disabled":true}');
  expect(await createLoader({ roots: [own.root, shared.root] }).gate('lint')).toMatchObject({
    admitted: true,
  });
});

test('the data of a plugin from a shared root belongs beside the workspace root', async () => {
  const [own, shared] = [await makeRoot(), await makeRoot()];
  await install(shared, 'lint');
  const { admitted } = await createLoader({ roots: [own.root, shared.root] }).scan();
  expect(admitted[0]?.dataDir).toBe(own.data('lint'));
});

test('a root that is not there or no directory is said, and the others are scanned', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  const [absent, file] = [join(layout.root, 'absent'), layout.live('file')];
  await writeFile(file, '');
  const scan = await createLoader({ roots: [absent, file, layout.root] }).scan();
  expect(names(scan)).toEqual(['lint']);
  expect(scan.warnings).toEqual([
    `There is no directory "${absent}"`,
    `The root "${file}" cannot be listed: ENOTDIR: not a directory`,
  ]);
});

test('a plugin that is mounted by itself is said: updates swap what lies below the mount', async (ctx) => {
  needMounts(ctx, 'tmpfs');
  const layout = await makeRoot();
  for (const name of ['lint', 'other']) await install(layout, name);
  const loader = createLoader({ roots: [layout.root] });
  expect((await loader.scan()).warnings).toEqual([]);
  const take = mountOver(layout.live('lint'), 'itself');
  const scan = await loader.scan();
  expect(names(scan)).toEqual(['lint', 'other']);
  expect(scan.warnings).toEqual([
    `"lint" is mounted by itself below "${layout.root}", so no update of it arrives here: mount "${layout.root}" as a whole instead`,
  ]);
  await take();
  expect((await loader.scan()).warnings).toEqual([]);
});

test('each scan sees what was added, updated and removed since the last one', async () => {
  const layout = await makeRoot();
  await install(layout, 'a');
  const loader = createLoader({ roots: [layout.root] });
  expect(names(await loader.scan())).toEqual(['a']);
  await install(layout, 'b');
  expect(names(await loader.scan())).toEqual(['a', 'b']);
  await rename(layout.live('a'), layout.snapshot('a', LATER));
  await install(layout, 'a', undefined, LATER);
  expect((await loader.scan()).admitted[0]?.generation).toBe(LATER);
  await rm(layout.live('a'), { recursive: true });
  expect(await loader.scan()).toMatchObject({ admitted: [{ name: 'b' }], refused: [] });
});

test('a scan during a swap without exchange finds the plugin though no listing names it', async () => {
  const layout = await makeRoot();
  await install(layout, 'lint');
  await rename(layout.live('lint'), layout.snapshot('lint', LATER));
  await writeIntent(layout, 'lint');
  const loader = createLoader({ roots: [layout.root] });
  const scanning = loader.scan();
  setTimeout(() => void rename(layout.snapshot('lint', LATER), layout.live('lint')), 60);
  expect(names(await scanning)).toEqual(['lint']);
});

test('an aborted loader rejects with the reason of its signal', async () => {
  const layout = await makeRoot();
  const reason = new Error('enough');
  const loader = createLoader({ roots: [layout.root], signal: AbortSignal.abort(reason) });
  await expect(loader.gate('lint')).rejects.toBe(reason);
  await expect(loader.gate('No Name')).rejects.toBe(reason);
  await expect(loader.scan()).rejects.toBe(reason);
});

test.each([
  ['no root', { roots: [] }, 'roots: must name at least one directory'],
  ['an empty root', { roots: [''] }, 'roots.0: must not be empty'],
  ['one root twice', { roots: ['/a', '/a/'] }, 'roots: holds "/a" twice'],
  ['an unknown mode', { roots: ['/a'], mode: 'lenient' }, 'mode: '],
  ['a misspelled option', { roots: ['/a'], verfy: 'digest' }, 'verfy'],
  ['something else than a signal', { roots: ['/a'], signal: {} }, 'signal: must be an AbortSignal'],
])('options with %s are a fault at once', (_, options, words) => {
  const make = (): unknown => createLoader(options as never);
  expect(make).toThrow(Fault);
  expect(make).toThrow(words);
  expect(make).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }));
});
