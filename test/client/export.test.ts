/** What a client makes of an export: a file that is whole, or none. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { exportPlugin } from '../../client/export.ts';
import { packDirectory } from '../../client/pack/pack.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { Fault } from '../../shared/api/fault.ts';
import { scratch } from '../_kit/agent.ts';
import { bundleOf } from '../_kit/install-room.ts';
import type { Behaviour, Peer } from './fake-agent.ts';
import { session, start, endsConversations } from './conversation.ts';

endsConversations();

const TEXTS = { 'plugin.yaml': 'name: lint\nversion: 1.0.0\n', 'bin/run.sh': '#!/bin/sh\n' };
const BYTES = bundleOf(TEXTS);
const TREE = treeDigest(
  Object.entries(TEXTS).map(([path, text]) => ({
    path,
    size: text.length,
    mode: path.endsWith('.sh') ? '755' : '644',
    sha256: createHash('sha256').update(text).digest('hex'),
  })),
);

/** An agent that announces this tree and sends these bytes. */
function exporter(bytes = BYTES, announced = {}, end?: (to: Peer) => void): Behaviour {
  let sent = false;
  return {
    onRequest: ({ id }, peer) =>
      peer.answer(id, {
        plugin: 'lint',
        pluginVersion: '1.0.0',
        installId: null,
        tree: TREE,
        files: 2,
        bytes: 36,
        stream: 9,
        ...announced,
      }),
    onNotification: ({ method }, to) => {
      if (method !== 'window' || sent) return;
      sent = true;
      if (bytes.length > 0) to.frame({ stream: 9, offset: 0, fin: end === undefined, data: bytes });
      end?.(to);
    },
  };
}

describe('an export', () => {
  it('is written under its name when it is whole, and beside it is nothing', async () => {
    const folder = await scratch();
    const to = join(folder, 'lint.tgz');
    await start(exporter());
    const sha256 = createHash('sha256').update(BYTES).digest('hex');
    expect(await exportPlugin(session, 'lint', { to })).toMatchObject({
      tree: TREE,
      size: BYTES.length,
      sha256,
    });
    expect((await readFile(to)).equals(BYTES)).toBe(true);
    expect(await readdir(folder)).toEqual(['lint.tgz']);
  });

  it('goes into a stream, which is left open', async () => {
    const parts: Buffer[] = [];
    const to = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _, done) => {
        parts.push(chunk);
        setImmediate(done);
      },
    });
    await start(exporter());
    await exportPlugin(session, 'lint', { to });
    expect([Buffer.concat(parts).equals(BYTES), to.writable]).toEqual([true, true]);
  });

  it.each([
    ['has another tree', exporter(BYTES, { tree: `sha256:${'0'.repeat(64)}` }), 'DIGEST_MISMATCH'],
    ['has fewer files', exporter(BYTES, { files: 3 }), 'DIGEST_MISMATCH'],
    ['is no archive', exporter(Buffer.from('no archive at all'.repeat(50))), 'ARCHIVE_CORRUPT'],
    [
      'has damaged bytes',
      exporter(Buffer.concat([BYTES.subarray(0, 60), Buffer.alloc(60, 7)])),
      'ARCHIVE_CORRUPT',
    ],
    [
      'is reset',
      exporter(BYTES.subarray(0, 50), {}, (to) => {
        const error = new Fault('DIGEST_MISMATCH', 'edited').toData();
        to.notify('reset', { stream: 9, error });
      }),
      'DIGEST_MISMATCH',
    ],
    ['breaks', exporter(BYTES.subarray(0, 50), {}, (to) => to.socket.terminate()), 'UNREACHABLE'],
    ['is not announced', exporter(BYTES, { stream: undefined }), 'INTERNAL'],
  ])('that %s leaves no file, and what was there', async (_, behaviour, code) => {
    const folder = await scratch();
    const to = join(folder, 'lint.tgz');
    await writeFile(to, 'before');
    await start(behaviour);
    await expect(exportPlugin(session, 'lint', { to, overwrite: true })).rejects.toMatchObject({ code });
    expect([await readdir(folder), await readFile(to, 'utf8')]).toEqual([['lint.tgz'], 'before']);
  });

  it('does not replace a file unless it is asked to, and says where it cannot write', async () => {
    const folder = await scratch();
    const to = join(folder, 'lint.tgz');
    await writeFile(to, 'before');
    await start(exporter());
    await expect(exportPlugin(session, 'lint', { to })).rejects.toMatchObject({ code: 'CONFLICT' });
    const nowhere = join(folder, 'none/lint.tgz');
    await expect(exportPlugin(session, 'lint', { to: nowhere })).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    });
    expect(await readdir(folder)).toEqual(['lint.tgz']);
  });

  it('never replaces what is not a file, such as a link or a directory, and neither does the packer', async () => {
    const folder = await scratch();
    const to = join(folder, 'link');
    await symlink(join(folder, 'elsewhere'), to);
    await start(exporter());
    const plugin = join(folder, 'plugin');
    await mkdir(plugin);
    await writeFile(join(plugin, 'plugin.yaml'), TEXTS['plugin.yaml']);
    for (const out of [to, plugin]) {
      const refused = { code: 'CONFLICT' };
      await expect(exportPlugin(session, 'lint', { to: out, overwrite: true })).rejects.toMatchObject(
        refused,
      );
      await expect(packDirectory(plugin, { out, overwrite: true })).rejects.toMatchObject(refused);
    }
    expect((await readdir(folder)).toSorted()).toEqual(['link', 'plugin']);
  });

  it('is stopped by its signal, also while no bytes come', async () => {
    const folder = await scratch();
    const stop = new AbortController();
    await start(exporter(BYTES.subarray(0, 50), {}, () => void setTimeout(() => stop.abort(), 20)));
    const to = join(folder, 'lint.tgz');
    await expect(exportPlugin(session, 'lint', { to, signal: stop.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it('is stopped while nobody takes its bytes', async () => {
    const stop = new AbortController();
    const to = new Writable({ highWaterMark: 1, write: () => stop.abort() });
    await start(exporter());
    await expect(exportPlugin(session, 'lint', { to, signal: stop.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });
});
