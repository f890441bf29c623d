/** An installed version as a bundle: the bytes of the packer, one generation, and nothing that was edited. */
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync, appendFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { Export } from '../../agent/store/export.ts';
import { packDirectory } from '../../client/pack/pack.ts';
import type { ExportParams } from '../../shared/api/methods.ts';
import { FaultyDisk, failOnce } from '../_kit/faulty-disk.ts';
import {
  type Room,
  bundleOf,
  contentOf,
  deliver,
  faultOf,
  makeRoom,
  plainDisk,
  realRoot,
  sha256,
  through,
} from '../_kit/install-room.ts';

const FILES = {
  'plugin.yaml': 'name: lint\nversion: 1.2.3\n',
  'rules/a.md': 'a'.repeat(1000),
  'rules-b.md': 'b',
  'bin/deep/run.sh': '#!/bin/sh\n',
  'ünï/ç.md': 'c',
  empty: '',
};
/** As a root has it on Linux. */
const disk = { ...plainDisk, within: nodeDisk.within };
const room = (): Room => makeRoom({}, disk);

function open({ context }: Room, more: Partial<ExportParams> = {}): Export {
  return Export.open(context, { plugin: 'lint', ...more });
}
function rest(exported: Export): Buffer {
  const parts: Uint8Array[] = [];
  for (let isLast = false; !isLast;) {
    const piece = exported.next();
    parts.push(piece.bytes);
    ({ isLast } = piece);
  }
  return Buffer.concat(parts);
}

/** A megabyte or so that hardly compresses. */
const noise = (seed: number): string =>
  Array.from({ length: 130_000 }, (_, i) => Math.imul(i + seed, 2_654_435_761) >>> 0).join('');

function written(files: Record<string, string | Buffer>): string {
  const directory = join(realRoot(), '../lint');
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
    chmodSync(join(directory, path), path.endsWith('.sh') ? 0o755 : 0o644);
  }
  return directory;
}

describe('an export', () => {
  it('has the bytes that the packer makes of the same files, also on another root', async () => {
    const packed = await packDirectory(written(FILES));
    const bytes = nodeBytes(packed.file);
    await packed.dispose();
    for (const one of [room(), room()]) {
      await deliver(one, bundleOf(FILES));
      const exported = open(one);
      expect(exported.answer).toMatchObject({
        plugin: 'lint',
        pluginVersion: '1.2.3',
        tree: packed.tree,
        files: 6,
      });
      expect(sha256(rest(exported))).toBe(sha256(bytes));
    }
  });

  it('of an export that was installed is the same, and is present', async () => {
    const [one, two] = [room(), room()];
    await deliver(one, bundleOf(FILES));
    const bytes = rest(open(one));
    const { tree } = await deliver(two, bytes);
    expect(rest(open(two)).equals(bytes)).toBe(true);
    expect((await deliver(two, bytes)).status).toBe('present');
    expect(tree).toBe(open(one).answer.tree);
  });

  it('stays of one version while others are installed, also when that one is no longer kept', async () => {
    const one = room();
    await deliver(one, bundleOf({ ...FILES, 'noise.md': noise(1), 'z.md': 'one' }));
    const whole = rest(open(one));
    const exported = open(one);
    const first = exported.next();
    expect(first.isLast).toBe(false);
    for (const n of [2, 3, 4]) {
      await deliver(one, bundleOf({ ...FILES, 'noise.md': noise(n), 'z.md': String(n) }));
    }
    expect(Buffer.concat([first.bytes, rest(exported)]).equals(whole)).toBe(true);
  });

  it('is that of the version that is named, which may be a snapshot', async () => {
    const one = room();
    const { installId } = await deliver(one, bundleOf({ 'rules/a.md': 'one' }));
    const before = rest(open(one));
    await deliver(one, bundleOf({ 'rules/a.md': 'two' }));
    expect(rest(open(one, { version: installId })).equals(before)).toBe(true);
    expect(rest(open(one)).equals(before)).toBe(false);
    const version = '20200101T000000000Z-9f86d081';
    const fault = await faultOf(() => open(one, { version }));
    expect([fault.code, fault.hint]).toEqual(['NOT_FOUND', expect.stringContaining(installId)]);
    expect(await faultOf(() => Export.open(one.context, { plugin: 'none' }))).toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is refused where files were edited in place, and with `drifted` has the edits', async () => {
    const one = room();
    await deliver(one, bundleOf(FILES));
    const live = one.layout.live('lint');
    writeFileSync(join(live, 'rules/a.md'), 'edited');
    writeFileSync(join(live, 'added.md'), 'added');
    const fault = await faultOf(() => open(one));
    expect([fault.code, fault.message]).toEqual([
      'CONFLICT',
      expect.stringContaining('"rules/a.md" is modified'),
    ]);
    expect(fault.message).toContain('"added.md" was not installed');
    const exported = open(one, { drifted: true });
    expect(exported.answer.files).toBe(7);
    expect(gunzipSync(rest(exported)).includes('edited')).toBe(true);
    symlinkSync('/etc', join(live, 'etc'));
    expect(await faultOf(() => open(one, { drifted: true }))).toMatchObject({ code: 'CONFLICT' });
  });

  it('of what nobody has marked is refused, unless what is there is asked for', async () => {
    const one = room();
    mkdirSync(one.layout.live('lint'));
    writeFileSync(join(one.layout.live('lint'), 'plugin.yaml'), 'name: lint\nversion: 9.9.9\n');
    const fault = await faultOf(() => open(one));
    expect([fault.code, fault.hint]).toEqual(['CONFLICT', expect.stringContaining('airlock adopt lint')]);
    const { answer } = open(one, { drifted: true });
    expect(answer).toMatchObject({ installId: null, pluginVersion: '9.9.9', files: 1 });
  });

  it('fails at the file that is edited meanwhile, before a byte of it is sent', async () => {
    const one = room();
    await deliver(one, bundleOf({ ...FILES, 'z.md': 'as installed' }));
    const exported = open(one);
    writeFileSync(join(one.layout.live('lint'), 'z.md'), 'AS INSTALLED');
    const fault = await faultOf(() => rest(exported));
    expect([fault.code, fault.message]).toEqual(['DIGEST_MISMATCH', expect.stringContaining('"z.md"')]);
  });

  it('fails where a large file is edited, by its size at once and by its bytes at its end', async () => {
    const one = room();
    const text = noise(1);
    await deliver(one, bundleOf({ 'large.md': text }));
    const large = join(one.layout.live('lint'), 'large.md');
    const longer = open(one);
    appendFileSync(large, 'more');
    expect(await faultOf(() => rest(longer))).toMatchObject({ code: 'DIGEST_MISMATCH' });
    writeFileSync(large, text);
    const other = open(one, { drifted: true });
    writeFileSync(large, `y${text.slice(1)}`);
    expect(await faultOf(() => rest(other))).toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  it('says that a version was removed meanwhile', async () => {
    const one = room();
    await deliver(one, bundleOf(FILES));
    const exported = open(one);
    rmSync(one.layout.live('lint'), { recursive: true });
    expect(await faultOf(() => rest(exported))).toMatchObject({ code: 'CONFLICT', retry: 'later' });
  });

  it('leaves nothing open, whether it is read to its end, cancelled, or a call of the disk fails', async () => {
    const one = room();
    await deliver(one, bundleOf(FILES));
    const faulty = new FaultyDisk(disk);
    const seen = through(one, faulty.disk);
    rest(open(seen));
    expect(faulty.leaked).toEqual([]);
    const cancelled = open(seen);
    cancelled.close();
    cancelled.close();
    expect(faulty.leaked).toEqual([]);
    for (let n = 1; ; n += 1) {
      faulty.arm(failOnce(n, 'EIO'));
      let exported: Export | undefined;
      const outcome: unknown = await Promise.resolve()
        .then(() => rest((exported = open(seen))))
        .catch((error: unknown) => error);
      exported?.close();
      expect(faulty.leaked).toEqual([]);
      if (faulty.failed.length === 0) break;
      if (Buffer.isBuffer(outcome)) expect(outcome.equals(rest(open(one)))).toBe(true);
    }
  });
});

const nodeBytes = (file: string): Buffer => Buffer.from(contentOf(nodeDisk, file), 'latin1');
