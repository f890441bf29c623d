/** Boot-install from a directory with a lock file, and what a reconcile says of it afterwards. */
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { type Declared, LOCK_FILE, writeLockFile } from '../../shared/format/lock-file.ts';
import { type BundleServer, bytesOf, serveBundles } from '../_kit/bundle-server.ts';
import { type Packed, bundleIn, lineOf } from '../_kit/bundles.ts';
import { type Ended, Program } from '../_kit/program.ts';

vi.setConfig({ testTimeout: 60_000 });

type Scene = {
  program: Program;
  image: string;
  lock: (...lines: Declared[]) => Promise<void>;
  boot: () => Promise<string[]>;
  run: (...words: string[]) => Promise<Ended>;
};

async function scene(): Promise<Scene> {
  const program = await Program.open();
  onTestFinished(() => program.close());
  const image = join(program.folder, 'image');
  await mkdir(image);
  const run = (...words: string[]): Promise<Ended> => program.here([...words, '--root', program.root]);
  return {
    program,
    image,
    run,
    lock: (...lines) => writeFile(join(image, LOCK_FILE), writeLockFile(lines)),
    boot: async () => {
      const booted = JSON.parse((await run('boot', image)).stdout) as {
        file: string;
        plugin?: string;
        status: string;
        error?: { code: string };
      }[];
      return booted.map(({ file, plugin, status, error }) =>
        [plugin ?? file.slice(image.length + 1), status, ...(error === undefined ? [] : [error.code])].join(
          ' ',
        ),
      );
    },
  };
}

const markerOf = async ({ root }: Program, plugin: string): Promise<object> =>
  JSON.parse(await readFile(join(root, plugin, '.complete'), 'utf8')) as object;

/** A server of one bundle, and the line of its plugin. */
async function served(
  program: Program,
  name: string,
): Promise<{ server: BundleServer; line: Declared; packed: Packed }> {
  const packed = await bundleIn(join(program.folder, 'server'), name);
  const server = await serveBundles(bytesOf(packed.bytes));
  return { server, packed, line: { ...lineOf(packed), source: `${server.origin}/${name}.tgz?key=secret` } };
}

describe('boot-install with a lock file', () => {
  it('installs what it names and nothing else, once, whatever the files are called', async () => {
    const { program, image, lock, boot, run } = await scene();
    const [a, b] = [await bundleIn(image, 'a'), await bundleIn(image, 'b')];
    await bundleIn(image, 'c');
    await rename(a.file, join(image, 'z.tgz'));
    await writeFile(join(image, 'broken.tgz'), 'no archive');
    await lock(lineOf(a), { ...lineOf(b), source: 'the shop' });
    expect(await boot()).toEqual(['a installed', 'b installed', 'broken.tgz skipped', 'c-1.0.0.tgz skipped']);
    expect(await markerOf(program, 'a')).toMatchObject({ by: 'boot', source: 'z.tgz', tree: a.tree });
    expect(await markerOf(program, 'b')).toMatchObject({ by: 'boot', source: 'the shop', bundle: b.bundle });
    expect(await boot()).toEqual(['a kept', 'b kept', 'broken.tgz skipped', 'c-1.0.0.tgz skipped']);

    // What it has delivered is not delivered again.
    const before = [await markerOf(program, 'a'), await markerOf(program, 'b')];
    const again = await run('reconcile', '--lock', join(image, LOCK_FILE), '--bundles', image);
    expect([again.code, JSON.parse(again.stdout)]).toMatchObject([0, { present: 2 }]);
    expect([await markerOf(program, 'a'), await markerOf(program, 'b')]).toEqual(before);
  });

  it('fetches what is not there, and one that fails does not stop the others', async () => {
    const { program, image, lock, boot } = await scene();
    const far = await served(program, 'far');
    const lost = await served(program, 'lost');
    lost.server.answer((_, response) => response.writeHead(404).end());
    const near = await bundleIn(image, 'near');
    await bundleIn(image, 'old');
    const other = await bundleIn(join(program.folder, 'elsewhere'), 'old', '2.0.0');
    const gone = await bundleIn(join(program.folder, 'elsewhere'), 'gone');
    await lock(far.line, lineOf(gone), lost.line, lineOf(near), lineOf(other));
    expect(await boot()).toEqual([
      'far installed',
      'gone failed NOT_FOUND',
      'lost failed NOT_FOUND',
      'near installed',
      // Another version is there, with another digest.
      'old failed DIGEST_MISMATCH',
      'old-1.0.0.tgz skipped',
    ]);
    expect(await markerOf(program, 'far')).toMatchObject({ by: 'boot', bundle: far.packed.bundle });
    const requests = far.server.requests.length;
    expect((await boot())[0]).toBe('far kept');
    expect(far.server.requests).toHaveLength(requests);
  });

  it('does not ask a server again that does not answer', async () => {
    const { program, lock, boot } = await scene();
    const { server, line } = await served(program, 'p');
    server.answer((request) => request.socket.destroy());
    const many = Array.from({ length: 30 }, (_, i) => ({ ...line, name: `p${i}` }));
    await lock(...many);
    expect(new Set(await boot())).toEqual(new Set(many.map(({ name }) => `${name} failed UNREACHABLE`)));
    expect(server.requests.length).toBeLessThan(many.length);
  });

  it('does not bring back what was removed, and brings what the file declares anew', async () => {
    const { program, image, lock, boot, run } = await scene();
    const a = await bundleIn(image, 'a');
    await lock(lineOf(a));
    await boot();
    expect((await run('uninstall', 'a')).code).toBe(0);
    expect((await boot())[0]).toBe('a kept');
    const newer = await bundleIn(image, 'a', '2.0.0');
    // Only the tree is declared.
    await lock({ name: 'a', tree: newer.tree });
    expect(await boot()).toEqual(['a failed CONFLICT', 'a-1.0.0.tgz skipped', 'a-2.0.0.tgz skipped']);
    await rename(a.file, join(program.folder, 'away.tgz'));
    expect(await boot()).toEqual(['a installed']);
    expect(await markerOf(program, 'a')).toMatchObject({ pluginVersion: '2.0.0', tree: newer.tree });
  });

  it('and a reconcile at the same time deliver a plugin once', async () => {
    const { program, image, lock, boot, run } = await scene();
    const a = await bundleIn(image, 'a');
    await lock(lineOf(a));
    const reconciling = run('reconcile', '--lock', join(image, LOCK_FILE), '--bundles', image);
    const [booted, { code }] = await Promise.all([boot(), reconciling]);
    expect([booted.length, code]).toEqual([1, 0]);
    expect(await markerOf(program, 'a')).toMatchObject({ tree: a.tree, replaced: null });
    expect(await readdir(join(program.root, '.previous'))).toEqual([]);
  });

  it('installs nothing if the file cannot be read', async () => {
    const { program, image, run } = await scene();
    await bundleIn(image, 'a');
    await writeFile(join(image, LOCK_FILE), '{"version":2}');
    const { code, stderr } = await run('boot', image);
    expect([code, stderr]).toEqual([2, expect.stringContaining('version: must be 1')]);
    await program.serve({ AIRLOCK_BOOT_FROM: image });
    expect(program.log.some(({ msg }) => msg === 'boot-install failed')).toBe(true);
    expect(await program.json(['list'])).toEqual([]);
  });
});
