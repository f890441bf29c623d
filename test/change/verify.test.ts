import { chmodSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  photograph,
  through,
  plainDisk,
} from '../_kit/install-room.ts';

const OLD = bundleOf({ 'rules/a.md': 'old' }, '1.0.0');
const NEW = bundleOf({ 'rules/a.md': 'new', 'hooks/run.sh': '#!/bin/sh\n' }, '2.0.0');

/** The room, with somebody who gets at the new version the moment that it is live. */
function meddled(room: Room, meddle: (live: string) => void): Room {
  const live = room.layout.live('lint');
  return through(room, {
    ...plainDisk,
    rename: (from, to) => {
      nodeDisk.rename(from, to);
      if (to === live && from.includes('.staging')) {
        meddle(live);
      }
    },
  });
}

const MEDDLING: [what: string, meddle: (live: string) => void][] = [
  ['a file is shorter', (live) => truncateSync(join(live, 'rules/a.md'), 1)],
  ['a file is gone', (live) => rmSync(join(live, 'rules/a.md'))],
  ['a directory is gone', (live) => rmSync(join(live, 'rules'), { recursive: true })],
  [
    'a directory has become a file',
    (live) => {
      rmSync(join(live, 'rules'), { recursive: true });
      writeFileSync(join(live, 'rules'), 'x');
    },
  ],
  [
    'a file has become a link',
    (live) => {
      rmSync(join(live, 'rules/a.md'));
      symlinkSync('../plugin.yaml', join(live, 'rules/a.md'));
    },
  ],
  ['a file is there that was not sealed', (live) => writeFileSync(join(live, 'rules/b.md'), 'x')],
  ['a link is there that was not sealed', (live) => symlinkSync('/etc', join(live, 'etc'))],
  ['a hook is no longer executable', (live) => chmodSync(join(live, 'hooks/run.sh'), 0o644)],
  ['the marker is gone', (live) => rmSync(join(live, '.complete'))],
  ['the marker is empty', (live) => writeFileSync(join(live, '.complete'), '')],
  [
    'the marker is a link',
    (live) => {
      rmSync(join(live, '.complete'));
      symlinkSync('plugin.yaml', join(live, '.complete'));
    },
  ],
];

describe('what is read back at the live path is compared with what was sealed', () => {
  it.each(MEDDLING)('where %s, the version before is put back, byte for byte', async (_what, meddle) => {
    const room = makeRoom();
    await deliver(room, OLD);
    const before = photograph(nodeDisk, room.layout.root);
    const fault = await faultOf(() => deliver(meddled(room, meddle), NEW));
    expect(['SWAP_FAILED', 'INTERNAL']).toContain(fault.code);
    expect(fault.executed).toBe('no');
    expect(photograph(nodeDisk, room.layout.root)).toEqual(before);
  });

  it('where nothing was live before, nothing is again', async () => {
    const room = makeRoom();
    const before = photograph(nodeDisk, room.layout.root);
    await faultOf(() =>
      deliver(
        meddled(room, (live) => rmSync(join(live, 'plugin.yaml'))),
        NEW,
      ),
    );
    expect(photograph(nodeDisk, room.layout.root)).toEqual(before);
  });

  it('and a cache that a hook has left in the meantime is no difference', async () => {
    const room = makeRoom();
    const meddle = (live: string): void => {
      mkdirSync(join(live, 'hooks/__pycache__'));
      writeFileSync(join(live, 'hooks/__pycache__/run.pyc'), 'x');
    };
    expect((await deliver(meddled(room, meddle), NEW)).status).toBe('installed');
  });

  // Was a bug: the names of such directories are ignored for files, and their files were counted on one side only.
  it('nor is a directory that is called as only files must not be', async () => {
    const room = makeRoom();
    const bytes = bundleOf({ 'old~/a.md': 'x', '4913/b.md': 'y', 'c.pyc/d.md': 'z' });
    expect((await deliver(room, bytes)).files).toBe(4);
    expect((await deliver(room, bytes)).status).toBe('present');
  });
});
