import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { adoptTouched } from '../../agent/change/adopt.ts';
import { Install } from '../../agent/change/install.ts';
import { getPlugin } from '../../agent/store/inspect.ts';
import { recall } from '../../agent/store/operation-log.ts';
import type { Fault } from '../../shared/api/fault.ts';
import { installedSchema } from '../../shared/api/plugin.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  paramsOf,
  photograph,
  rollBack,
  sha256,
  through,
} from '../_kit/install-room.ts';
import { file, gzip, tar, unended } from '../_kit/tar-builder.ts';

const OLD = bundleOf({ 'rules/a.md': 'old' }, '1.0.0');
const NEW = bundleOf({ 'rules/b.md': 'new' }, '2.0.0');

/** That an install is refused, and that the disk is afterwards what it was, to the byte. */
async function refuses(room: Room, bytes: Buffer, more: Parameters<typeof paramsOf>[1] = {}): Promise<Fault> {
  const before = photograph(nodeDisk, room.layout.root);
  const fault = await faultOf(() => deliver(room, bytes, more));
  expect(photograph(nodeDisk, room.layout.root)).toEqual(before);
  return fault;
}

describe('an install that expects something else to be live is refused', () => {
  it.each(['null', 'another id', 'the id'])('%s', async (expected) => {
    const room = makeRoom();
    const { installId } = await deliver(room, OLD);
    const ids = { null: null, 'another id': '20200101T000000000Z-00000000', 'the id': installId };
    const wanted = { installId: ids[expected as keyof typeof ids] };
    if (expected === 'the id') {
      expect((await deliver(room, NEW, { expect: wanted })).replaced).toBe(installId);
    } else {
      const fault = await refuses(room, NEW, { expect: wanted });
      expect([fault.code, fault.message.includes(installId)]).toEqual(['CONFLICT', true]);
    }
  });

  it('null where there is a directory without a marker, or nothing', async () => {
    const room = makeRoom();
    expect((await deliver(room, OLD, { expect: { installId: null } })).status).toBe('installed');
    mkdirSync(room.layout.live('other'));
    const fault = await refuses(room, OLD, { plugin: 'other', expect: { installId: null } });
    expect([fault.code, fault.message]).toEqual(['CONFLICT', expect.stringContaining('no id')]);
  });

  it('also where that became live only while the bytes came in, and force does not help', async () => {
    const room = makeRoom();
    const { installId } = await deliver(room, OLD);
    const install = new Install(
      room.context,
      paramsOf(NEW, { expect: { installId }, force: true }),
      'tester',
    );
    install.begin();
    await install.write(NEW);
    await install.validate();
    const other = await deliver(room, bundleOf({}, '3.0.0'));
    const fault = await faultOf(() => install.install());
    expect([fault.code, fault.message.includes(other.installId)]).toEqual(['CONFLICT', true]);
    expect(namesIn(room, room.layout.staging)).toEqual([]);
    expect(photograph(nodeDisk, room.layout.live('lint'))['/plugin.yaml']).toContain('3.0.0');
  });
});

describe('a plugin that is held', () => {
  const hold = (room: Room, text: string): void => writeFileSync(room.layout.stateOf('lint'), text);

  it('is not installed but by force', async () => {
    const room = makeRoom();
    await deliver(room, OLD);
    hold(room, JSON.stringify({ version: 1, held: 'a bad release' }));
    const fault = await refuses(room, NEW);
    expect([fault.code, fault.status, fault.message.includes('a bad release')]).toEqual(['HELD', 409, true]);
    expect((await deliver(room, NEW, { force: true })).status).toBe('installed');
  });

  it('while the bytes came in is not installed either', async () => {
    const room = makeRoom();
    const install = new Install(room.context, paramsOf(OLD), 'tester');
    install.begin();
    await install.write(OLD);
    await install.validate();
    hold(room, JSON.stringify({ version: 1, held: 'since' }));
    expect((await faultOf(() => install.install())).code).toBe('HELD');
    expect([namesIn(room, room.layout.staging), namesIn(room, room.layout.receipts)]).toEqual([[], []]);
  });

  it('says so in a list, also where nothing is live under its name', async () => {
    const room = makeRoom();
    hold(room, JSON.stringify({ version: 1, held: 'since' }));
    expect(getPlugin(room.context, 'lint')).toMatchObject({ status: 'absent', held: 'since' });
    await deliver(room, OLD, { force: true });
    expect(getPlugin(room.context, 'lint')).toMatchObject({ status: 'admitted', held: 'since' });
  });

  // Was a bug: a state that could not be read was taken for none, and a held plugin was installed.
  it.each(['{"version":1,"held":', 'null', '{"version":2,"held":"by a newer agent"}', ''])(
    'counts as held in doubt: %j',
    async (text) => {
      const room = makeRoom();
      hold(room, text);
      const fault = await refuses(room, OLD);
      expect([fault.code, fault.hint?.includes('.state')]).toEqual(['INTERNAL', true]);
      expect((await deliver(room, OLD, { force: true })).status).toBe('installed');
    },
  );
});

describe('a bundle is refused, and nothing of it is left,', () => {
  it.each<[what: string, code: string, bytes: Buffer]>([
    ['if its archive is cut', 'ARCHIVE_CORRUPT', gzip(unended(file('plugin.yaml', 'name: lint\n')))],
    ['if it is no archive', 'ARCHIVE_CORRUPT', Buffer.from('x'.repeat(2000))],
    ['if a path leads out', 'ARCHIVE_PATH', gzip(tar(file('../evil', 'x')))],
    ['if it has no manifest', 'MANIFEST_MISSING', gzip(tar(file('a', 'x')))],
    [
      'if its manifest names another plugin',
      'MANIFEST_MISMATCH',
      gzip(tar(file('plugin.yaml', 'name: x\n'))),
    ],
    ['if it expands too far', 'LIMIT_RATIO', gzip(tar(file('a', Buffer.alloc(4_000_000))))],
  ])('%s', async (_what, code, bytes) => {
    const room = makeRoom();
    await deliver(room, OLD);
    expect((await refuses(room, bytes)).code).toBe(code);
    expect(room.complaints).toEqual([]);
  });

  it('if it is larger than the owner accepts, before any byte is asked for', async () => {
    const room = makeRoom({ maxPacked: 100 });
    expect((await refuses(room, OLD)).code).toBe('TOO_LARGE');
  });

  it('if there is no room for it, before any byte is asked for', async () => {
    const room = makeRoom({}, { ...nodeDisk, space: () => 1024 });
    const fault = await refuses(room, OLD);
    expect([fault.code, fault.status]).toEqual(['NO_SPACE', 507]);
  });

  it.each(['size', 'sha256'] as const)('if its %s is another than was declared', async (field) => {
    const room = makeRoom();
    const bundle = { size: OLD.length, sha256: sha256(OLD) };
    const wrong =
      field === 'size' ? { ...bundle, size: OLD.length + 1 } : { ...bundle, sha256: 'a'.repeat(64) };
    const fault = await refuses(room, OLD, { bundle: wrong });
    expect([fault.code, fault.retry]).toEqual(['DIGEST_MISMATCH', 'same']);
  });

  it.each([0, 1, 10, 40, 100, -10])(
    'as altered, whatever the altered bytes look like (byte %i)',
    async (at) => {
      const room = makeRoom();
      const altered = Buffer.from(OLD);
      const place = (at + altered.length) % altered.length;
      altered.writeUInt8(altered.readUInt8(place) ^ 0x55, place);
      const fault = await refuses(room, altered, { bundle: { size: OLD.length, sha256: sha256(OLD) } });
      expect(fault.code).toBe('DIGEST_MISMATCH');
    },
  );

  it('if it is given up half-way, also twice', async () => {
    const room = makeRoom();
    const before = photograph(nodeDisk, room.layout.root);
    const big = tar(file('plugin.yaml', 'name: lint\n'), file('a', Buffer.alloc(200_000, 'x')));
    const install = new Install(room.context, paramsOf(big), 'tester');
    install.begin();
    await install.write(big.subarray(0, 100_000));
    install.abort();
    install.abort();
    expect(photograph(nodeDisk, room.layout.root)).toEqual(before);
    expect((await faultOf(() => install.write(big))).code).toBe('CONFLICT');
    expect((await faultOf(() => install.validate())).code).toBe('CONFLICT');
  });
});

describe('an operation is remembered', () => {
  const operationId = 'operation-of-mine';

  it('and answered with the same words when it is asked again, whatever is live by then', async () => {
    const room = makeRoom();
    const first = await deliver(room, OLD, { operationId });
    await deliver(room, NEW);
    expect(await deliver(room, OLD, { operationId })).toEqual(first);
    expect(recall(room.context, operationId, undefined, installedSchema)).toEqual(first);
    expect(photograph(nodeDisk, room.layout.live('lint'))['/plugin.yaml']).toContain('2.0.0');
  });

  // Was a bug: asked again after an update, an operation that had found its bundle present brought it back.
  it('also if it had found everything present', async () => {
    const room = makeRoom();
    await deliver(room, OLD);
    const present = await deliver(room, OLD, { operationId });
    await deliver(room, NEW);
    expect(await deliver(room, OLD, { operationId })).toEqual(present);
    expect((await refuses(room, NEW, { operationId })).code).toBe('CONFLICT');
  });

  it('so that its id is not taken for anything else', async () => {
    const room = makeRoom();
    await deliver(room, OLD, { operationId });
    for (const [bytes, more] of [
      [NEW, {}],
      [OLD, { plugin: 'other' }],
      [OLD, { force: true }],
      [OLD, { restart: false }],
    ] as const) {
      expect((await refuses(room, bytes, { ...more, operationId })).code).toBe('CONFLICT');
    }
  });

  it('but not if it failed: it can be asked again', async () => {
    const room = makeRoom();
    writeFileSync(room.layout.stateOf('lint'), '{"version":1,"held":"x"}');
    await refuses(room, OLD, { operationId });
    writeFileSync(room.layout.stateOf('lint'), '{"version":1}');
    expect((await deliver(room, OLD, { operationId })).status).toBe('installed');
  });

  it('among the last thousand', async () => {
    const room = makeRoom();
    for (let i = 0; i < 1100; i += 1) {
      writeFileSync(join(room.layout.operations, `older-operation-${i}.json`), '{}');
    }
    await deliver(room, OLD, { operationId });
    const names = namesIn(room, room.layout.operations);
    expect([names.length, names.includes(`${operationId}.json`)]).toEqual([1000, true]);
  });

  // Was a bug: it answered CONFLICT, as if somebody else had used the id.
  it('and is not done again where another version has written an answer that this one cannot read', async () => {
    const room = makeRoom();
    await deliver(room, OLD, { operationId });
    const path = room.layout.operation(operationId);
    const record = JSON.parse(readFileSync(path, 'utf8')) as { answer: object };
    for (const changed of [
      { ...record, answer: { ...record.answer, files: 'many' } },
      { ...record, version: 2 },
    ]) {
      writeFileSync(path, JSON.stringify(changed));
      expect(await refuses(room, OLD, { operationId })).toMatchObject({
        code: 'INTERNAL',
        executed: 'yes',
        retry: 'never',
      });
    }
    expect((await refuses(room, NEW, { operationId })).code).not.toBe('CONFLICT');
  });

  it('and a record that is torn is none', async () => {
    const room = makeRoom();
    writeFileSync(room.layout.operation(operationId), '{"version":1,');
    expect((await deliver(room, OLD, { operationId })).status).toBe('installed');
  });
});

describe('the owner of installed files', () => {
  it('is whom the owner of the workspace names: all of the tree, the marker too', async (ctx) => {
    if (process.getuid?.() !== 0) {
      ctx.skip('only root may give files away');
    }
    const room = makeRoom({ owner: { uid: 1234, gid: 4321 } });
    await deliver(room, bundleOf({ 'rules/deep/a.md': 'x' }));
    const live = room.layout.live('lint');
    for (const path of Object.keys(photograph(nodeDisk, live))) {
      const { uid, gid } = statSync(`${live}${path}`);
      expect([path, uid, gid]).toEqual([path, 1234, 4321]);
    }
    expect(statSync(room.layout.staging).uid).toBe(0);
  });

  it('is whom the owner names also where the marker is written anew: by a rollback, taken back or not, and by an adoption', async (ctx) => {
    if (process.getuid?.() !== 0) {
      ctx.skip('only root may give files away');
    }
    const room = makeRoom({ owner: { uid: 1234, gid: 4321 } });
    const live = room.layout.live('lint');
    const ownerOf = (directory: string): number[] => {
      const { uid, gid } = statSync(`${directory}/.complete`);
      return [uid, gid];
    };
    const first = await deliver(room, bundleOf({ 'rules/a.md': '1' }, '1'));
    const second = await deliver(room, bundleOf({ 'rules/a.md': '2' }, '2'));
    const stuck = through(room, {
      ...room.context.disk,
      rename: (from, to) => {
        if (to === live && from.includes('.staging')) {
          throw Object.assign(new Error('EIO: rename'), { code: 'EIO' });
        }
        room.context.disk.rename(from, to);
      },
    });
    // The swap is taken back, and the version goes home with the marker that it had.
    await faultOf(() => rollBack(stuck));
    expect(ownerOf(room.layout.snapshot('lint', second.installId))).toEqual([1234, 4321]);
    expect(rollBack(room).tree).toBe(first.tree);
    expect(ownerOf(live)).toEqual([1234, 4321]);
    rmSync(`${live}/.complete`);
    writeFileSync(`${live}/.complete`, '');
    expect([adoptTouched(room.context, 'lint'), ownerOf(live)]).toEqual([true, [1234, 4321]]);
  });

  it('is asked for before the swap: without the right to give files away nothing changes', async () => {
    const refuse = (): never => {
      throw Object.assign(new Error('EPERM: chown'), { code: 'EPERM' });
    };
    const room = makeRoom({ owner: { uid: 1234, gid: 4321 } }, { ...nodeDisk, chown: refuse });
    expect((await refuses(room, OLD)).code).toBe('MARKER_FAILED');
  });

  it('is the agent, where nobody is named', async () => {
    const room = makeRoom();
    await deliver(room, OLD);
    expect(statSync(room.layout.live('lint')).uid).toBe(process.getuid?.());
  });
});
