/** A root with everything that an install needs, and installs driven through it as an engine thread drives them. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { onTestFinished } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import type { StoreContext, InstallPolicy } from '../../agent/store/context.ts';
import { Install } from '../../agent/change/install.ts';
import { prepareRoot } from '../../agent/store/prepare.ts';
import { rollback } from '../../agent/change/rollback.ts';
import { uninstall } from '../../agent/change/uninstall.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type Layout, layoutOf } from '../../shared/format/layout.ts';
import type { BeginParams, RollbackParams, UninstallParams } from '../../shared/api/methods.ts';
import type { Installed, Uninstalled } from '../../shared/api/plugin.ts';
import { createIgnore } from '../../shared/format/tree.ts';
import { file, gzip, tar } from './tar-builder.ts';

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

/** 8 May 2026, 14:15:30.123 UTC, the moment at which every room's clock starts. */
export const START = Date.UTC(2026, 4, 8, 14, 15, 30, 123);

export const POLICY: InstallPolicy = {
  manifest: 'required',
  runtime: undefined,
  ignore: [],
  owner: undefined,
  keep: 1,
  keepMillis: 7 * 24 * 60 * 60 * 1000,
  restarts: 'caller',
  probe: undefined,
  maxPacked: 4 * 1024 * 1024,
  maxUnpacked: 8 * 1024 * 1024,
  maxEntries: 1000,
  maxDepth: 32,
  maxRatio: 200,
};

/** The real disk without what only Linux with koffi has: plain renames, and a sync for every file. */
export const plainDisk: Disk = {
  ...nodeDisk,
  exchange: undefined,
  syncAll: undefined,
  canSyncAll: () => false,
};

export type Room = {
  context: StoreContext;
  layout: Layout;
  events: EventBody[];
  complaints: Fault[];
  /** What the ground's clock says; a test may set it. */
  clock: { now: number };
};

/** A root on the real disk, gone after the test. */
export function realRoot(): string {
  const parent = mkdtempSync(join(tmpdir(), 'airlock-install-'));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, 'plugins');
}

/** A prepared root, by default on the real disk, with plain renames. */
export function makeRoom(
  policy: Partial<InstallPolicy> = {},
  disk: Disk = plainDisk,
  root: string = realRoot(),
): Room {
  const layout = layoutOf(root);
  const events: EventBody[] = [];
  const complaints: Fault[] = [];
  const clock = { now: START };
  const whole = { ...POLICY, ...policy };
  const context: StoreContext = {
    disk,
    layout,
    policy: whole,
    ignore: createIgnore(whole.ignore),
    now: () => clock.now,
    owner: { bootId: 'boot', pidNamespace: 'pid:[1]', pid: 1, startTime: '1' },
    tell: (event) => events.push(event),
    complain: (fault) => complaints.push(fault),
    restartRuns: undefined,
  };
  prepareRoot(disk, layout);
  return { context, layout, events, complaints, clock };
}

/** The same room seen through another disk. */
export const through = (room: Room, disk: Disk): Room => ({ ...room, context: { ...room.context, disk } });

let operations = 0;

/** What is asked for when these bytes are installed; a fresh operation id each time. */
export function paramsOf(bytes: Buffer, more: Partial<BeginParams> = {}): BeginParams {
  operations += 1;
  const bundle = { size: bytes.length, sha256: sha256(bytes) };
  return { operationId: `operation-${operations}`, plugin: 'lint', bundle, ...more };
}

/** The text of a plugin.yaml. */
export const yamlOf = (name = 'lint', version = '1.2.3', more = ''): string =>
  `name: ${name}\nversion: ${version}\n${more}`;

/** A gzipped plugin of these files; what ends in `.sh` is executable, and a plugin.yaml is added if none is given. */
export function bundleOf(files: Record<string, string> = {}, version = '1.2.3'): Buffer {
  const all = { 'plugin.yaml': yamlOf('lint', version), ...files };
  return gzip(
    tar(
      ...Object.entries(all).map(([path, text]) =>
        file(path, text, { mode: path.endsWith('.sh') ? 0o755 : 0o644 }),
      ),
    ),
  );
}

/** Installs bytes, in pieces, up to its answer and the house-keeping after it; aborts like the thread if it fails. */
export async function deliver(
  { context }: Room,
  bytes: Buffer,
  more: Partial<BeginParams> = {},
  pieceBytes = 64 * 1024,
): Promise<Installed> {
  const install = new Install(context, paramsOf(bytes, more), 'tester');
  try {
    const begun = install.begin();
    if (typeof begun !== 'string') {
      return begun;
    }
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      await install.write(bytes.subarray(at, at + pieceBytes));
    }
    await install.validate();
    const answer = install.install();
    install.collect();
    return answer;
  } catch (error) {
    install.abort();
    throw error;
  }
}

/** Brings the version before back, up to the house-keeping after the answer. */
export function rollBack({ context }: Room, more: Partial<RollbackParams> = {}): Installed {
  operations += 1;
  const params = { operationId: `operation-${operations}`, plugin: 'lint', ...more };
  const { answer, collect } = rollback(context, params, 'tester');
  collect();
  return answer;
}

/** Removes the plugin, up to the house-keeping after the answer. */
export function remove({ context }: Room, more: Partial<UninstallParams> = {}): Uninstalled {
  operations += 1;
  const params = { operationId: `operation-${operations}`, plugin: 'lint', ...more };
  const { answer, collect } = uninstall(context, params, 'tester');
  collect();
  return answer;
}

/** The fault with which something is refused. */
export async function faultOf(run: () => unknown): Promise<Fault> {
  try {
    await run();
  } catch (error) {
    if (error instanceof Fault) {
      return error;
    }
    throw error;
  }
  throw new Error('It was not refused');
}

/** Everything below a path: kind and mode, and of files the content. A missing path is an empty picture. */
export function photograph(disk: Disk, path: string, below = ''): Record<string, string> {
  const stat = disk.stat(path);
  if (stat === undefined) {
    return {};
  }
  const what = `${stat.kind} ${stat.mode.toString(8)}`;
  if (stat.kind === 'file') {
    return { [below]: `${what} ${contentOf(disk, path)}` };
  }
  const inside = stat.kind === 'directory' ? disk.list(path) : [];
  return Object.assign(
    { [below]: what },
    ...inside.map(({ name }) => photograph(disk, `${path}/${name}`, `${below}/${name}`)),
  ) as Record<string, string>;
}

export function contentOf(disk: Disk, path: string): string {
  const fd = disk.open(path);
  try {
    const chunks: Buffer[] = [];
    for (;;) {
      const chunk = Buffer.alloc(64 * 1024);
      const count = disk.read(fd, chunk);
      if (count === 0) {
        return Buffer.concat(chunks).toString('latin1');
      }
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    disk.close(fd);
  }
}

/** The names in a directory, sorted. */
export const namesIn = ({ context }: Room, path: string): string[] =>
  context.disk
    .list(path)
    .map(({ name }) => name)
    .toSorted();
