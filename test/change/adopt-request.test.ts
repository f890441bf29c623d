/** Adoption on request: a plan first, then a full marker, of a tree that nobody has marked or that was touched. */
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { adopt } from '../../agent/change/adopt-request.ts';
import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { InstallPolicy } from '../../agent/store/context.ts';
import { getPlugin, verifyPlugin } from '../../agent/store/inspect.ts';
import { runtimeOf } from '../../agent/store/runtime-state.ts';
import { liveVersionOf } from '../../agent/store/marker.ts';
import type { AdoptParams } from '../../shared/api/methods.ts';
import type { Adopted } from '../../shared/api/plugin.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { markerSchema } from '../../shared/format/marker.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  remove,
} from '../_kit/install-room.ts';

const FILES = {
  'plugin.yaml': 'name: lint\nversion: 4.5.6\n',
  'rules/a.md': 'a',
  'bin/run.sh': '#!/bin/sh\n',
};

/** A plugin that somebody has copied there. */
function copied(files: Record<string, string> = FILES, policy: Partial<InstallPolicy> = {}): Room {
  const room = makeRoom(policy);
  for (const [path, text] of Object.entries(files)) {
    const file = join(room.layout.live('lint'), path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    if (path.endsWith('.sh')) chmodSync(file, 0o755);
  }
  return room;
}

let operations = 0;
async function ask({ context }: Room, more: Partial<AdoptParams> = {}): Promise<Adopted> {
  operations += 1;
  const params = { operationId: `operation-${operations}`, plugin: 'lint', ...more };
  const { answer, collect } = await adopt(context, params, 'tester');
  collect();
  return answer;
}
const plan = (room: Room, more: Partial<AdoptParams> = {}): Promise<Adopted> =>
  ask(room, { plan: true, ...more });

it('plans first, which changes nothing, and then gives the same tree a full marker and a receipt', async () => {
  const room = copied();
  const before = photograph(nodeDisk, room.layout.root);
  const planned = await plan(room);
  expect(planned).toMatchObject({
    status: 'planned',
    pluginVersion: '4.5.6',
    installId: null,
    files: 3,
    bytes: 37,
    prevents: { total: 0 },
  });
  expect(photograph(nodeDisk, room.layout.root)).toEqual(before);
  const adopted = await ask(room, { tree: planned.tree });
  expect(adopted).toEqual({ ...planned, status: 'adopted', installId: adopted.installId });
  const marker = markerSchema.parse(JSON.parse(readFileSync(join(room.layout.live('lint'), MARKER), 'utf8')));
  expect(marker).toMatchObject({ installId: adopted.installId, tree: planned.tree, by: 'tester', files: 3 });
  expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
  expect(namesIn(room, room.layout.staging)).toEqual([]);
  const { installId } = adopted;
  expect(room.events).toMatchObject([{ type: 'plugin.adopted', data: { plugin: 'lint', installId } }]);
});

it('counts what it has adopted as loaded: nothing waits for a restart', async () => {
  const room = copied();
  const { installId } = await ask(room);
  const { state } = runtimeOf(room.context, 'lint', liveVersionOf(room.context, 'lint'));
  expect(state.candidates).toEqual([{ generation: installId, edited: [] }]);
  expect(getPlugin(room.context, 'lint')).not.toHaveProperty('pending');
  const skill = await deliver(room, bundleOf({ ...FILES, 'rules/a.md': 'b' }));
  expect(skill.reload.reasons.items).toMatchObject([{ path: 'rules/a.md', change: 'modified' }]);
});

it('takes a touched one as well, and says of an adopted one that it is present', async () => {
  const room = copied({ ...FILES, [MARKER]: '' });
  const { installId, tree } = await ask(room);
  expect(await ask(room)).toMatchObject({ status: 'present', installId, tree });
  expect(await plan(room)).toMatchObject({ status: 'present', installId });
});

it('gives the same operation the same answer, and plans are not remembered', async () => {
  const room = copied();
  await plan(room, { operationId: 'operation-same' });
  const first = await ask(room, { operationId: 'operation-same' });
  expect(first.status).toBe('adopted');
  expect(await ask(room, { operationId: 'operation-same' })).toEqual(first);
  const other = await faultOf(() => ask(room, { operationId: 'operation-same', force: true }));
  expect(other.code).toBe('CONFLICT');
});

describe('says in a plan what prevents it, and refuses for the same reason', () => {
  const refusals: [what: string, room: () => Room | Promise<Room>, code: string, detail: string][] = [
    ['no manifest', () => copied({ 'rules/a.md': 'a' }), 'MANIFEST_MISSING', 'no manifest'],
    ['a broken manifest', () => copied({ 'plugin.yaml': 'name: [' }), 'MANIFEST_INVALID', 'plugin.yaml'],
    [
      'another name',
      () => copied({ 'plugin.yaml': 'name: other\nversion: 1\n' }),
      'MANIFEST_MISMATCH',
      'other',
    ],
    [
      'another runtime',
      () => copied({ 'plugin.yaml': 'name: lint\nruntimes: [a]\n' }, { runtime: 'b' }),
      'RUNTIME_UNSUPPORTED',
      'runs on a',
    ],
    ['a backslash', () => copied({ ...FILES, 'a\\b': '' }), 'ARCHIVE_PATH', 'backslash'],
    [
      'two names that are one elsewhere',
      () => copied({ ...FILES, A: '', a: '' }),
      'ARCHIVE_COLLISION',
      'cannot be',
    ],
    ['a reserved name', () => copied({ ...FILES, '.staging/a': '' }), 'ARCHIVE_PATH', 'reserved'],
    ['a torn marker', () => copied({ ...FILES, [MARKER]: '\0' }), 'CONFLICT', 'not a marker'],
    [
      'a link as marker',
      () => {
        const room = copied();
        symlinkSync('/etc/hostname', join(room.layout.live('lint'), MARKER));
        return room;
      },
      'CONFLICT',
      'not a file',
    ],
    [
      'the marker of another plugin',
      async () => {
        const room = makeRoom();
        await deliver(room, bundleOf());
        nodeDisk.rename(room.layout.live('lint'), room.layout.live('other'));
        const text = readFileSync(join(room.layout.live('other'), MARKER), 'utf8');
        return { ...copied({ ...FILES, [MARKER]: text.replace('"plugin":"lint"', '"plugin":"other"') }) };
      },
      'CONFLICT',
      'belongs to "other"',
    ],
    [
      'a newer marker',
      () => {
        const newer = { version: 2, plugin: 'lint', installId: '20260508T141530123Z-9f86d081' };
        return copied({ ...FILES, [MARKER]: JSON.stringify(newer) });
      },
      'CONFLICT',
      'newer Airlock',
    ],
    [
      'edits of what was installed',
      async () => {
        const room = makeRoom();
        await deliver(room, bundleOf());
        writeFileSync(join(room.layout.live('lint'), 'added.md'), '');
        return room;
      },
      'CONFLICT',
      '"added.md" was not installed',
    ],
    [
      'a link',
      () => {
        const room = copied();
        symlinkSync('/etc', join(room.layout.live('lint'), 'etc'));
        return room;
      },
      'ARCHIVE_TYPE',
      '"etc"',
    ],
    [
      'a hold',
      () => {
        const room = copied();
        writeFileSync(room.layout.stateOf('lint'), '{"version":1,"held":"no touching"}');
        return room;
      },
      'HELD',
      'no touching',
    ],
    [
      'files that may be lost',
      () => {
        const room = copied();
        writeFileSync(room.layout.unsynced, '{"version":1,"bootId":"another"}');
        return room;
      },
      'CONFLICT',
      'without syncs',
    ],
  ];
  it.each(refusals)('%s', async (_, make, code, detail) => {
    const room = await make();
    const before = photograph(nodeDisk, room.layout.root);
    const { prevents } = await plan(room);
    expect(prevents.items).toMatchObject([{ code, detail: expect.stringContaining(detail) as string }]);
    expect(prevents.items[0]?.hint).not.toBe('');
    const fault = await faultOf(() => ask(room));
    expect([fault.code, fault.message]).toEqual([code, prevents.items[0]?.detail]);
    expect(photograph(nodeDisk, room.layout.root)).toEqual(before);
  });

  it('all of it at once', async () => {
    const room = copied({ 'plugin.yaml': 'name: other\nversion: 1\n', 'a\\b': '', [MARKER]: 'x' });
    const codes = (await plan(room)).prevents.items.map(({ code }) => code);
    expect(codes).toEqual(['CONFLICT', 'ARCHIVE_PATH', 'MANIFEST_MISMATCH']);
  });

  it('another tree than the one that was looked at', async () => {
    const room = copied();
    const { tree } = await plan(room);
    writeFileSync(join(room.layout.live('lint'), 'rules/a.md'), 'edited');
    const fault = await faultOf(() => ask(room, { tree }));
    expect([fault.code, fault.message]).toEqual(['CONFLICT', expect.stringContaining(tree)]);
    expect(existsSync(join(room.layout.live('lint'), MARKER))).toBe(false);
  });

  it('nothing there, or a link in its place', async () => {
    const room = makeRoom();
    expect((await faultOf(() => plan(room))).code).toBe('NOT_FOUND');
    symlinkSync('/etc', room.layout.live('lint'));
    expect(await faultOf(() => plan(room))).toMatchObject({ code: 'CONFLICT' });
  });
});

it('takes a held one if that is forced, and a disabled one, which stays disabled', async () => {
  const room = copied();
  writeFileSync(room.layout.stateOf('lint'), '{"version":1,"held":"no touching","disabled":true}');
  expect((await ask(room, { force: true })).status).toBe('adopted');
  expect(getPlugin(room.context, 'lint')).toMatchObject({ reason: 'disabled', held: 'no touching' });
});

it('warns of what a skill lacks, as an install does', async () => {
  const room = copied({ ...FILES, 'skills/a/SKILL.md': 'no front matter' });
  const { warnings } = await ask(room);
  expect(warnings.items.join()).toContain('skills/a/SKILL.md');
});

describe('the probe command', () => {
  const probing = (command: string, marker?: string): Room =>
    copied(marker === undefined ? FILES : { ...FILES, [MARKER]: marker }, {
      probe: { command, timeout: 600_000, env: { PATH: process.env['PATH'] } },
    });

  it('sees the live tree, touched or not, and lets it be adopted', async () => {
    for (const marker of [undefined, '']) {
      const room = probing('grep -q 4.5.6 plugin.yaml && test "$PLUGIN_NAME" = lint', marker);
      expect((await ask(room)).status).toBe('adopted');
    }
  });

  it('refuses it, in the plan too, and is believed also if it changes the tree', async () => {
    const room = probing('echo no good; exit 3');
    const { prevents } = await plan(room);
    expect(prevents.items).toMatchObject([{ code: 'PROBE_FAILED' }]);
    expect(await faultOf(() => ask(room))).toMatchObject({ code: 'PROBE_FAILED' });
    expect(await faultOf(() => ask(probing('echo x > rules/b.md')))).toMatchObject({ code: 'PROBE_FAILED' });
    expect(existsSync(join(room.layout.live('lint'), MARKER))).toBe(false);
  });
});

it('comes back after a removal, as a version that was installed does', async () => {
  const room = copied();
  const { installId } = await ask(room);
  expect(remove(room)).toMatchObject({ status: 'removed', installId });
});
