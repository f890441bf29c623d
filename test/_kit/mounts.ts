/** Scratch file systems for a test: made, mounted, and unmounted again when it ends, however it ends. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { type TestContext, onTestFinished } from 'vitest';

import { hasIoctl } from './power.ts';

/** Those that are made in a file, on a loop device. */
export type LoopKind = 'ext4' | 'xfs' | 'btrfs';

/** The smallest that mkfs makes by default, or a little more: a small one is made and mounted at once. */
const LOOP_MEBIBYTES: Record<LoopKind, number> = { ext4: 300, xfs: 400, btrfs: 400 };
const MIB = 1024 * 1024;
const BUSY_MILLIS = 20_000;
const TMPFS = ['-t', 'tmpfs', 'airlock'];

/** Runs a tool of the system. @throws Error with what it said. */
export function tool(command: string, ...words: string[]): string {
  try {
    return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new Error(`"${command} ${words.join(' ')}" failed: ${said}`, { cause: error });
  }
}

/** What mount and umount say then. */
const BUSY = /busy|overlapping loop device/;

/**
 * Runs `mount` or `umount`, and again while somebody has something open there: the descriptors of a killed process are still
 * being closed, a watcher reads what has changed, or another mount looks through the loop devices.
 */
async function patiently(command: 'mount' | 'umount', ...words: string[]): Promise<void> {
  for (const end = Date.now() + BUSY_MILLIS; ;) {
    try {
      tool(command, ...words);
      return;
    } catch (error) {
      if (Date.now() > end || !BUSY.test(String(error))) throw error;
    }
    await sleep(20);
  }
}

/** What could be mounted once. */
const mountable = new Set<LoopKind | 'tmpfs' | 'overlay'>();

/**
 * Ends the test here where this machine cannot mount what it needs: skips it with the reason, or fails it where
 * `AIRLOCK_REQUIRE_ROOT_TESTS=1` says that this machine can. Only mkfs.xfs and mkfs.btrfs may be missing everywhere.
 */
export function needMounts(ctx: Pick<TestContext, 'skip'>, kind: LoopKind | 'tmpfs' | 'overlay'): void {
  const isLoop = kind !== 'tmpfs' && kind !== 'overlay';
  if (isLoop && kind !== 'ext4' && !hasTool(`mkfs.${kind}`)) ctx.skip(`there is no mkfs.${kind}`);
  const why = mountable.has(kind) ? undefined : whyNot(kind);
  if (why === undefined) {
    mountable.add(kind);
    return;
  }
  if (process.env['AIRLOCK_REQUIRE_ROOT_TESTS'] === '1') throw new Error(`Mounts are required here: ${why}`);
  ctx.skip(why);
}

function whyNot(kind: LoopKind | 'tmpfs' | 'overlay'): string | undefined {
  if (process.platform !== 'linux') return 'it mounts file systems of Linux';
  if (process.getuid?.() !== 0) return 'mounting needs root';
  if (kind !== 'tmpfs' && kind !== 'overlay') {
    if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
    if (!hasTool(`mkfs.${kind}`)) return `there is no mkfs.${kind}`;
    if (!hasIoctl()) return 'cutting the power needs koffi';
  }
  const folder = mkdtempSync(join(tmpdir(), 'airlock-mount-'));
  try {
    mkdirSync(join(folder, 'mounted'));
    const isLoop = kind !== 'tmpfs' && kind !== 'overlay';
    if (isLoop) makeImage(folder, kind, LOOP_MEBIBYTES[kind], []);
    tool('mount', ...(isLoop ? ['-o', 'loop', join(folder, 'image')] : TMPFS), join(folder, 'mounted'));
    tool('umount', join(folder, 'mounted'));
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return why.split('\n')[0];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function hasTool(name: string): boolean {
  return ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin'].some((at) =>
    existsSync(join(at, name)),
  );
}

/** A directory of the test with something mounted on it. */
export class Mount {
  /** Where it is mounted. */
  readonly point: string;
  /** Belongs to it and is not on it: images, layers, what a test wants to keep apart. */
  readonly folder: string;
  readonly #words: (folder: string) => string[];
  /** Whether it is mounted now. */
  isMounted = false;

  /** @param words what stands before the mount point on the command line of `mount`. */
  constructor(words: (folder: string) => string[], prepare: (folder: string) => void = () => undefined) {
    this.folder = mkdtempSync(join(tmpdir(), 'airlock-mount-'));
    onTestFinished(() => this.close());
    this.point = join(this.folder, 'mounted');
    mkdirSync(this.point);
    this.#words = words;
    prepare(this.folder);
    tool('mount', ...words(this.folder), this.point);
    this.isMounted = true;
  }

  /** Mounts it once more, after {@link unmount}. */
  async mount(): Promise<void> {
    await patiently('mount', ...this.#words(this.folder), this.point);
    this.isMounted = true;
  }

  /** Mounts it again with other options, in place: `ro`, `rw`. */
  async remount(option: string): Promise<void> {
    await patiently('mount', '-o', `remount,${option}`, this.point);
  }

  async unmount(): Promise<void> {
    if (!this.isMounted) return;
    await patiently('umount', this.point);
    this.isMounted = false;
  }

  /** Unmounts it and removes its folder; its loop device goes with the mount. */
  async close(): Promise<void> {
    try {
      await this.unmount();
    } catch (error) {
      // Somebody still works on it: it vanishes for all others now, and its device with the last descriptor.
      tool('umount', '-l', this.point);
      this.isMounted = false;
      throw error;
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

function makeImage(folder: string, kind: LoopKind, mebibytes: number, mkfs: readonly string[]): void {
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, mebibytes * MIB);
  tool(`mkfs.${kind}`, '-q', ...mkfs, image);
}

/** A new file system in a sparse file of its own. */
export function loopMount(
  kind: LoopKind,
  { mebibytes = LOOP_MEBIBYTES[kind], mkfs = [] as string[], options = [] as string[] } = {},
): Mount {
  return new Mount(
    (folder) => ['-o', ['loop', ...options].join(','), join(folder, 'image')],
    (folder) => makeImage(folder, kind, mebibytes, mkfs),
  );
}

/** A file system in memory. */
export const tmpfsMount = (mebibytes: number): Mount =>
  new Mount(() => ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'airlock']);

/** Mounts a directory, or nothing but memory, over a directory. @returns how to take it away. */
export function mountOver(place: string, what: 'tmpfs' | 'itself'): () => Promise<void> {
  tool('mount', ...(what === 'itself' ? ['--bind', place] : TMPFS), place);
  let mounted = true;
  const take = async (): Promise<void> => {
    if (mounted) await patiently('umount', place);
    mounted = false;
  };
  onTestFinished(take);
  return take;
}

/** A lower layer with a fresh upper one over it; both layers lie on one file system in memory. */
export function overlayMount(lower: string, layers: Mount): Mount {
  return new Mount((folder) => {
    const upper = mkdtempSync(join(layers.point, 'layer-'));
    mkdirSync(join(upper, 'upper'));
    mkdirSync(join(upper, 'work'));
    writeFileSync(join(folder, 'upper'), upper);
    const places = `lowerdir=${lower},upperdir=${upper}/upper,workdir=${upper}/work`;
    // Some kernels let directories of the lower layer be renamed; images are mounted without that.
    return ['-t', 'overlay', '-o', `${places},redirect_dir=off`, 'airlock'];
  });
}
