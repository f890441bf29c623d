/** Valid archives, altered in their structure and in their bytes, go through a whole install on the real disk. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { it } from 'vitest';

import { nodeDisk, withoutSyncs } from '../../agent/disk/node-disk.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { Fault } from '../../shared/api/fault.ts';
import { pick } from '../_kit/chance.ts';
import { alter, fuzz } from '../_kit/fuzz.ts';
import { type Room, deliver, makeRoom, namesIn, photograph, realRoot, yamlOf } from '../_kit/install-room.ts';
import {
  type Fields,
  END,
  directory,
  file,
  globalPax,
  gzip,
  hardlink,
  longName,
  pax,
  symlink,
} from '../_kit/tar-builder.ts';

const NAMES = [
  'rules/a.md',
  'a',
  'A',
  'x/../y',
  '/etc/x',
  'skills/b/SKILL.md',
  'long'.repeat(20),
  '..',
  'con',
  'é',
];
const VALUES: (string | Buffer)[] = ['7777777', '\0', '-1', Buffer.alloc(8, 0xff), '99999999', ''];
const FIELDS = ['size', 'mode', 'uid', 'checksum', 'mtime'] as const;

function anyEntry(chance: () => number): Buffer {
  const name = NAMES[pick(chance, NAMES.length)] ?? 'a';
  const wrong =
    chance() < 0.3
      ? { [FIELDS[pick(chance, FIELDS.length)] ?? 'mode']: VALUES[pick(chance, VALUES.length)] }
      : {};
  const fields = wrong as Fields;
  const parts = [
    (): Buffer => file(name, 'x'.repeat(pick(chance, 2000)), fields),
    (): Buffer => directory(name, fields),
    (): Buffer => symlink(name, '../../x', fields),
    (): Buffer => hardlink(name, 'plugin.yaml', fields),
    (): Buffer => Buffer.concat([longName(`${name}/${'n'.repeat(pick(chance, 300))}`), file('short', 'y')]),
    (): Buffer =>
      Buffer.concat([pax({ path: name, size: String(pick(chance, 9)) }), file('p', 'z'.repeat(8))]),
    (): Buffer => globalPax({ comment: name }),
    (): Buffer => Buffer.alloc(512, pick(chance, 256)),
  ];
  return parts[pick(chance, parts.length)]?.() ?? END;
}

/** Blocks left out, twice or in another order. */
function shuffle(archive: Buffer, chance: () => number): Buffer {
  const blocks = Array.from({ length: archive.length / 512 }, (_, i) =>
    archive.subarray(i * 512, i * 512 + 512),
  );
  const [a, b] = [pick(chance, blocks.length), pick(chance, blocks.length)];
  const one = blocks[a] ?? END;
  const other = blocks[b] ?? END;
  const ways = [blocks.toSpliced(a, 1), blocks.toSpliced(b, 0, one), blocks.with(a, other).with(b, one)];
  return Buffer.concat(ways[pick(chance, ways.length)] ?? blocks);
}

function archiveOf(chance: () => number): Buffer {
  const entries = Array.from({ length: pick(chance, 6) }, () =>
    chance() < 0.5 ? file(`f${pick(chance, 9)}`, 'x') : anyEntry(chance),
  );
  let archive: Buffer = Buffer.concat([file('plugin.yaml', yamlOf()), ...entries, END]);
  if (chance() < 0.4) archive = shuffle(archive, chance);
  if (chance() < 0.4) archive = alter(archive, chance);
  const packed = gzip(archive);
  return chance() < 0.2 ? alter(packed, chance) : packed;
}

const must = (pluginLocks: boolean, what: string): void => {
  if (!pluginLocks) throw new Error(what);
};

async function throwAt(room: Room, bytes: Buffer, chance: () => number): Promise<void> {
  const { context, layout } = room;
  const before = JSON.stringify(photograph(context.disk, layout.live('lint')));
  try {
    await deliver(room, bytes, {}, 1 + pick(chance, 5000));
  } catch (error) {
    must(error instanceof Fault, `it threw ${error instanceof Error ? (error.stack ?? '') : 'something'}`);
    must(
      JSON.stringify(photograph(context.disk, layout.live('lint'))) === before,
      'it was refused, and live has changed',
    );
    must(namesIn(room, layout.staging).length === 0, 'it was refused, and staging is not empty');
    return;
  }
  must(verifyPlugin(context, 'lint').verdict === 'intact', 'it was accepted, and is not intact');
}

it('archives', async (ctx) => {
  const root = realRoot();
  const outside = dirname(root);
  mkdirSync(outside, { recursive: true });
  writeFileSync(join(outside, 'canary'), 'sings');
  const room = makeRoom({}, withoutSyncs(nodeDisk), root);
  const dependencies = (): string => JSON.stringify(namesIn(room, outside));
  await fuzz(ctx, 'archives', async (chance) => {
    const bytes = archiveOf(chance);
    const before = dependencies();
    if (bytes.length > 0) await throwAt(room, bytes, chance);
    must(dependencies() === before, 'something beside the root has changed');
    room.events.length = 0;
    rmSync(room.layout.operations, { recursive: true });
    mkdirSync(room.layout.operations);
  });
});
