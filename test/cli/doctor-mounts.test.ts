/** `airlock doctor` and `airlock status` on roots that need mounts or other users to be bad. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, statfsSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { layoutOf } from '../../shared/format/layout.ts';
import { type Examined, SOME_TOKEN, examineRoot, readDiagnosis } from '../_kit/doctor.ts';
import { install } from '../_kit/loader-root.ts';
import { type Mount, mountOver, needMounts, overlayMount, tmpfsMount } from '../_kit/mounts.ts';
import { mutilate } from '../_kit/mutilated.ts';
import { Program, program as built } from '../_kit/program.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';
import { until } from '../_kit/until.ts';
import { inProcess, makeScene } from '../_kit/two-ways.ts';

const NOBODY = { uid: 65_534, gid: 65_534 };

const saidBy = ({ of }: Examined, check: Parameters<Examined['of']>[0]): string =>
  of(check)
    .filter(({ level }) => level !== 'ok')
    .map(({ level, found, fix }) => `${level}: ${found} -> ${fix ?? ''}`)
    .join('\n');

/** A root below a place, as an agent leaves it, with a plugin "lint". */
async function rootIn(place: string): Promise<string> {
  const layout = layoutOf(join(place, 'plugins'));
  for (const directory of [layout.root, layout.receipts, layout.state, layout.locks, layout.operations]) {
    mkdirSync(directory, { recursive: true });
  }
  for (const closed of [layout.staging, layout.previous]) mkdirSync(closed, { mode: 0o700 });
  await install(layout, 'lint');
  return layout.root;
}

/** Runs the built program to its end, as somebody else if need be. */
async function examineAs(
  root: string,
  as: Program['as'],
  env: Record<string, string> = {},
): Promise<Examined> {
  const { file, close } = await mutilate({}, false);
  onTestFinished(close);
  const program = Object.assign(await Program.open(file), { as });
  onTestFinished(() => program.close());
  chmodSync(program.folder, 0o755);
  const words = ['doctor', '--root', root, '--json', '--listen', '127.0.0.1:0'];
  const { stdout, code } = await program.run(words, { AIRLOCK_TOKEN: SOME_TOKEN, ...env });
  return readDiagnosis(stdout, code);
}

describe('airlock doctor', () => {
  it('still examines a root that is read-only, and status does too', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const mount = tmpfsMount(16);
    const root = await rootIn(mount.point);
    await mount.remount('ro');
    const before = await snapshotTree(mount.point);
    const examined = await examineRoot(root);
    expect(examined.bad).toEqual(['error writable', 'error locks']);
    expect(saidBy(examined, 'writable')).toMatch(
      /^error: The root is read-only: .* -> Mount the root for writing/,
    );
    expect(saidBy(examined, 'locks')).toMatch(/EROFS -> Mount the root for writing/);
    expect(examined.of('plugins')).toMatchObject([{ found: 'The gate admits 1 of 1 plugins' }]);
    const status = await inProcess(['status', '--root', root]);
    expect([status.code, status.text]).toEqual([0, expect.stringContaining('1 admitted, 0 refused')]);
    expect(await snapshotTree(mount.point)).toEqual(before);
  });

  it('says that the root must be mounted, where only a plugin is', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const { program } = await makeScene('on the root', [0]);
    const live = join(program.root, 'lint');
    mountOver(live, 'itself');
    const examined = await examineRoot(program.root);
    expect(examined.bad).toEqual(['error mounts']);
    expect(saidBy(examined, 'mounts')).toBe(
      `error: Mounted by itself below the root: "lint" -> Mount "${program.root}" as a whole, in the agent and in the runtime, instead of "${live}"`,
    );
  });

  it('names a mount inside a plugin', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const { program } = await makeScene('on the root', [0]);
    mountOver(join(program.root, 'lint', 'hooks'), 'tmpfs');
    expect(saidBy(await examineRoot(program.root), 'mounts')).toMatch(
      /^warning: Mounted inside a plugin: "lint\/hooks" -> Mount it somewhere else/,
    );
  });

  it('names a directory of Airlock on another file system', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const { program } = await makeScene('on the root', [0]);
    mountOver(join(program.root, '.staging'), 'tmpfs');
    const examined = await examineRoot(program.root);
    expect(examined.bad).toContain('error file-system');
    expect(saidBy(examined, 'file-system')).toMatch(
      /^error: On another file system than the root: "\.staging" -> Unmount ".*\.staging": one volume/,
    );
  });

  it('names the plugins in a lower layer of an overlay, and none of the upper one', async (ctx) => {
    needMounts(ctx, 'overlay');
    const layers = tmpfsMount(64);
    const lower = mkdtempSync(join(layers.point, 'image-'));
    const image = await rootIn(lower);
    // The times of files move in steps: a layer is younger than its image once a new file is.
    const { ctimeNs } = lstatSync(join(image, 'lint'), { bigint: true });
    const probe = join(layers.point, 'probe');
    await until(() => {
      writeFileSync(probe, '');
      expect(lstatSync(probe, { bigint: true }).ctimeNs).toBeGreaterThan(ctimeNs);
    });
    const mount = overlayMount(lower, layers);
    const root = join(mount.point, 'plugins');
    await install(layoutOf(root), 'fresh', undefined, '20260509T141530123Z-0a1b2c3d');
    const examined = await examineRoot(root);
    expect(examined.code).toBe(0);
    expect(saidBy(examined, 'overlay')).toMatch(
      /^note: The root is on an overlay.* -> Mount one volume.*\nnote: In a lower layer of the overlay: "lint" -> /s,
    );
  });

  it('names a full file system, by its bytes and by its inodes', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const mount = tmpfsMount(4);
    const root = await rootIn(mount.point);
    fill(mount);
    const full = await examineRoot(root);
    expect(full.bad).toContain('error space');
    expect(saidBy(full, 'space')).toMatch(
      /^error: The file system is full: .* -> Free some space .*airlock sweep/,
    );
    const status = await inProcess(['status', '--root', root]);
    expect([status.code, status.text]).toEqual([
      1,
      expect.stringMatching(
        /^An operator is needed: The file system of the root has 0 bytes left\n {2}what to do: Free some space/,
      ),
    ]);
    const few = tmpfsMount(16);
    const other = await rootIn(few.point);
    await few.remount(`nr_inodes=${usedInodes(few) + 8}`);
    expect(saidBy(await examineRoot(other), 'space')).toMatch(
      /^error: The file system is full: .* 8 inodes are free/,
    );
  });

  it('names a root of somebody else, and a missing koffi', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const mount = tmpfsMount(16);
    chmodSync(mount.folder, 0o755);
    chmodSync(mount.point, 0o755);
    const root = await rootIn(mount.point);
    const other = await examineAs(root, NOBODY);
    expect(saidBy(other, 'owner')).toMatch(
      /^warning: The root belongs to uid 0, and uid 65534 asks -> Run the agent .* as uid 0, or as root: chown -R 65534/,
    );
    expect(saidBy(other, 'writable')).toMatch(
      /^error: The root cannot be written: .*EACCES.* -> Give the user of the agent/,
    );
    expect(saidBy(other, 'locks')).toMatch(
      /^error: Locks cannot be taken in .*EACCES -> Give ".*\.locks" to the user/,
    );
    expect(saidBy(other, 'koffi')).toMatch(/^warning: koffi cannot be used: .* -> Install koffi/);
    expect(await snapshotTree(root)).toEqual(await snapshotTree(root));
    chownSync(root, NOBODY.uid, NOBODY.gid);
    const mine = await examineAs(root, undefined);
    expect(saidBy(mine, 'owner')).toMatch(
      /^note: The root belongs to uid 65534, and uid 0 asks -> .*AIRLOCK_OWNER/,
    );
    expect(saidBy(mine, 'exchange')).toMatch(
      /^warning: Directories cannot be exchanged: koffi is not there -> Install koffi/,
    );
  });

  it('says that there are no file watches left, with the limit to raise', async (ctx) => {
    if (process.platform !== 'linux') ctx.skip('the limit is one of Linux');
    const { program } = await makeScene('on the root', [0]);
    // A user namespace has limits of its own.
    const script = 'echo 0 > /proc/sys/user/max_inotify_watches && exec "$0" "$@"';
    const under = ['-Ur', 'sh', '-c', script];
    const can = spawnSync('unshare', [...under, 'true']);
    if (can.status !== 0) ctx.skip('no user namespace with a limit of its own can be made');
    const words = [process.execPath, built, 'doctor', '--root', program.root, '--listen', '127.0.0.1:0'];
    const stdout = execFileSync('unshare', [...under, ...words], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '', AIRLOCK_TOKEN: SOME_TOKEN },
    });
    expect(saidBy(readDiagnosis(stdout, 0), 'watches')).toMatch(
      /^warning: The system gives no further file watch: ENOSPC -> Raise fs\.inotify\.max_user_watches/,
    );
  });
});

/** Writes until nothing more goes in. */
function fill({ point }: Mount): void {
  for (const size of [2 ** 20, 2 ** 12]) {
    for (let n = 0; ; n += 1) {
      try {
        writeFileSync(join(point, `filler-${size}-${n}`), Buffer.alloc(size));
      } catch {
        break;
      }
    }
  }
}

function usedInodes({ point }: Mount): number {
  const { files, ffree } = statfsSync(point);
  return files - ffree;
}

describe('airlock status', () => {
  it('points to the doctor where something is doubtful, and nowhere else', async () => {
    const { program } = await makeScene('on the root', [0]);
    const shown = async (): Promise<string> => (await inProcess(['status', '--root', program.root])).text;
    const hint = 'more        "airlock doctor" says what follows from this and what to do';
    const [first] = (await shown()).split('\n');
    expect(first).toBe('No operator is needed');
    // Without koffi versions are swapped by renames, which is doubtful.
    if (/swaps {7}by exchange/.test(await shown())) expect(await shown()).not.toContain(hint);
    await writeFile(join(program.root, 'file'), '');
    expect(await shown()).toContain(hint);
  });
});
