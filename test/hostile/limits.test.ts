import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { type Opened, beginOf, sha256Of } from '../_kit/bundle.ts';
import { Fortress, MANIFEST, rulesIn } from '../_kit/fortress.ts';
import { needMounts, tmpfsMount } from '../_kit/mounts.ts';
import { file, gzip, pax, tar } from '../_kit/tar-builder.ts';
import { until } from '../_kit/until.ts';

const MIB = 1024 * 1024;
const LIMITS = { AIRLOCK_MAX_UNPACKED: `${4 * MIB}`, AIRLOCK_MAX_ENTRIES: '50' };
const fortress = Fortress.forAll({ env: LIMITS });
/** Waits so shortly that a busy machine cannot send much to it. */
const impatient = Fortress.forAll({ timeouts: { stall: 300 } });

const many = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => file(`f${i}`));
const bundleOf = (bytes: Buffer): { bytes: Buffer; sha256: string; size: number } => ({
  bytes,
  sha256: sha256Of(bytes),
  size: bytes.length,
});

async function refused(bytes: Buffer, params = {}): Promise<[code: string, status: number, rules: string[]]> {
  const fault = await fortress.refusal(bytes, params);
  expect(fault.hint).toBeDefined();
  return [fault.code, fault.status, rulesIn(fault)];
}

describe('an archive that costs too much is refused', () => {
  it('93 a ratio bomb', async () => {
    const bomb = gzip(tar(MANIFEST, file('zeros', Buffer.alloc(3 * MIB))));
    expect(await refused(bomb)).toEqual(['LIMIT_RATIO', 422, [' 93']]);
    const also = await refused(gzip(tar(MANIFEST, file('../x', 'x'), file('zeros', Buffer.alloc(3 * MIB)))));
    expect(also).toEqual(['LIMIT_RATIO', 422, [' 93', '../x 1']]);
  });

  it('94 a bomb under the ratio but over the size', async () => {
    const bomb = gzip(tar(MANIFEST, file('a', randomBytes(2 * MIB)), file('b', Buffer.alloc(2 * MIB))));
    expect(await refused(bomb)).toEqual(['LIMIT_UNPACKED', 422, [' 94']]);
  });

  it('94 a size that is only declared', async () => {
    const bytes = tar(MANIFEST, file('a', 'x', { size: 0o77777777777 }));
    expect(await refused(bytes)).toEqual(['LIMIT_UNPACKED', 422, [' 94']]);
  });

  it('95 one entry more than the limit, all empty', async () => {
    expect(await refused(tar(MANIFEST, ...many(50)))).toEqual(['LIMIT_ENTRIES', 422, [' 95']]);
    expect((await fortress.accepted(tar(MANIFEST, ...many(49)))).live.length).toBe(50);
  });

  it('96 100 pax headers before one file', async () => {
    const headers = Array.from({ length: 100 }, () => pax({ comment: 'x' }));
    const fault = await fortress.refusal(tar(MANIFEST, ...headers, file('a', 'x')));
    expect([fault.code, fault.total, fault.violations?.every(({ rule }) => rule === 96)]).toEqual([
      'LIMIT_ENTRIES',
      99,
      true,
    ]);
  });

  it('97 the disk is full: 507, and staging is gone', async (ctx) => {
    needMounts(ctx, 'tmpfs');
    const small = new Fortress(join(tmpfsMount(3).point, 'plugins'));
    onTestFinished(() => small.close());
    await small.open();
    const bytes = gzip(tar(MANIFEST, file('a', randomBytes(MIB)), file('b', Buffer.alloc(3 * MIB, 'text '))));
    const fault = await small.refusal(bytes);
    expect([fault.code, fault.status]).toEqual(['NO_SPACE', 507]);
  });
});

describe('an upload that is not what was announced is refused', () => {
  it('98 a stalled upload', async () => {
    await until(() => impatient.send(tar(MANIFEST)));
    await impatient.quiet();
    const before = await impatient.look();
    const wire = await impatient.wire();
    const begin = beginOf('lint', bundleOf(tar(MANIFEST, file('a', 'x'))));
    const open = await wire.request<Opened>('install.begin', begin);
    wire.frame(open.stream, 0, tar(MANIFEST).subarray(0, 700));
    const reset = (await wire.notification('reset')) as { error: { code: string } };
    expect(reset.error.code).toBe('DEADLINE');
    expect((await wire.refusal('install.commit', { operationId: begin.operationId })).data.code).toBe(
      'DEADLINE',
    );
    await impatient.quiet();
    expect(await impatient.look()).toEqual(before);
  });

  it('99 the size or the sha256 differs from what was declared', async () => {
    const bytes = gzip(tar(MANIFEST, file('a', 'x')));
    const { sha256, size } = bundleOf(bytes);
    const other = bundleOf(gzip(tar(MANIFEST, file('a', 'y')))).sha256;
    expect((await refused(bytes, { bundle: { size, sha256: other } })).slice(0, 2)).toEqual([
      'DIGEST_MISMATCH',
      422,
    ]);
    expect((await refused(bytes, { bundle: { size: size - 1, sha256 } }))[0]).toBe('DIGEST_MISMATCH');
    expect((await refused(bytes, { bundle: { size: size + 1, sha256 } }))[0]).toBe('DIGEST_MISMATCH');
  });

  it('99 also where the bytes are damaged or hostile: altered bytes are named as such', async () => {
    const bytes = tar(MANIFEST, file('../x', 'x'));
    const bundle = { size: bytes.length, sha256: sha256Of(Buffer.from('other')) };
    expect((await refused(bytes, { bundle }))[0]).toBe('DIGEST_MISMATCH');
  });

  it('100 the staging directory is swapped for a symlink meanwhile', async () => {
    await fortress.send(tar(MANIFEST, file('rules/old.md', 'x')));
    await fortress.quiet();
    const victim = join(fortress.folder, 'outside', 'victim');
    mkdirSync(victim);
    const before = await fortress.look();
    const bytes = tar(MANIFEST, file('first', 'x'.repeat(70_000)), file('evil', 'x'), file('d/evil', 'x'));
    const wire = await fortress.wire();
    const begin = beginOf('lint', bundleOf(bytes));
    const open = await wire.request<Opened>('install.begin', begin);
    wire.frame(open.stream, 0, bytes.subarray(0, 50_000));
    await wire.until(() =>
      (wire.notifications('window') as Opened[]).some(({ offset }) => offset === 50_000),
    );
    const staging = join(fortress.root, '.staging');
    const slot =
      readdirSync(staging).find((name) => name.startsWith('lint.') && !name.endsWith('.json')) ?? '';
    renameSync(join(staging, slot), join(staging, 'aside'));
    symlinkSync(victim, join(staging, slot));
    wire.frame(open.stream, 50_000, bytes.subarray(50_000), true);
    const refusal = await wire.refusal('install.commit', { operationId: begin.operationId });
    expect(refusal.data.code).toBe('INTERNAL');
    expect(readdirSync(victim)).toEqual([]);
    await fortress.quiet(['aside']);
    expect(await fortress.look()).toEqual(before);
  });
});
