import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { adoptTouched, planAdopt } from '../../agent/change/adopt.ts';
import { verifyPlugin } from '../../agent/store/inspect.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { markerSchema } from '../../shared/format/marker.ts';
import { FaultyDisk, type Rule, crashAt, failOnce } from '../_kit/faulty-disk.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  plainDisk,
  through,
} from '../_kit/install-room.ts';

/** A plugin that somebody has copied there, marked by hand. */
function touched(text = ''): Room {
  const room = makeRoom();
  const live = room.layout.live('lint');
  mkdirSync(live);
  writeFileSync(join(live, 'plugin.yaml'), 'name: lint\nversion: 4.5.6\n');
  writeFileSync(join(live, MARKER), text);
  return room;
}
const markerOf = ({ layout }: Room): string => readFileSync(join(layout.live('lint'), MARKER), 'utf8');

it('makes a full marker of an empty one, with a receipt, and leaves no slot', () => {
  const room = touched();
  expect(adoptTouched(room.context, 'lint')).toBe(true);
  const marker = markerSchema.parse(JSON.parse(markerOf(room)));
  expect(marker).toMatchObject({ plugin: 'lint', pluginVersion: '4.5.6', by: 'airlock', replaced: null });
  expect(marker.bundle).toBe(marker.tree);
  expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
  expect(namesIn(room, room.layout.staging)).toEqual([]);
  expect(adoptTouched(room.context, 'lint')).toBe(false);
});

it('does nothing where the marker is full, missing or torn, or the gate refuses the plugin', async () => {
  const room = makeRoom();
  expect(adoptTouched(room.context, 'lint')).toBe(false);
  await deliver(room, bundleOf());
  expect(adoptTouched(room.context, 'lint')).toBe(false);
  expect(adoptTouched(touched(' ').context, 'lint')).toBe(false);
  const disabled = touched();
  writeFileSync(disabled.layout.stateOf('lint'), '{"version":1,"disabled":true}');
  expect([adoptTouched(disabled.context, 'lint'), markerOf(disabled)]).toEqual([false, '']);
});

it.each(['{"version":1,"bootId":"another"}', 'torn'])('does nothing where files may be lost: %s', (note) => {
  const room = touched();
  writeFileSync(room.layout.unsynced, note);
  expect([adoptTouched(room.context, 'lint'), markerOf(room)]).toEqual([false, '']);
  writeFileSync(room.layout.unsynced, '{"version":1,"bootId":"boot"}');
  expect(adoptTouched(room.context, 'lint')).toBe(true);
});

it('refuses a tree that changes while it is looked at, and one that holds a link', async () => {
  const room = touched();
  const file = join(room.layout.live('lint'), 'plugin.yaml');
  const disk = {
    ...plainDisk,
    sync: (fd: number): void => {
      writeFileSync(file, 'name: lint\nversion: 9\n');
      plainDisk.sync(fd);
    },
  };
  const fault = await faultOf(() => adoptTouched(through(room, disk).context, 'lint'));
  expect([fault.code, markerOf(room)]).toEqual(['CONFLICT', '']);
  symlinkSync('/etc', join(room.layout.live('lint'), 'etc'));
  expect((await faultOf(() => adoptTouched(room.context, 'lint'))).message).toContain('"etc"');
  expect(namesIn(room, room.layout.receipts)).toEqual([]);
});

it('adopts what was looked at before only if nothing has changed since, and reads no file for it', async () => {
  const room = touched();
  const reads: string[] = [];
  const open = (path: string): number => {
    if (!path.endsWith('/.')) reads.push(path);
    return plainDisk.open(path);
  };
  const found = planAdopt(room.context, 'lint');
  writeFileSync(join(room.layout.live('lint'), 'hook.sh'), '');
  expect((await faultOf(() => adoptTouched(room.context, 'lint', found))).code).toBe('CONFLICT');
  const again = planAdopt(room.context, 'lint');
  expect(adoptTouched(through(room, { ...plainDisk, open }).context, 'lint', again)).toBe(true);
  expect(reads.filter((path) => path.endsWith('hook.sh'))).toEqual([]);
  expect(verifyPlugin(room.context, 'lint').verdict).toBe('intact');
  expect(adoptTouched(room.context, 'lint', again)).toBe(false);
});

/** Adopts with each call of the disk failing in turn. @returns what was left, after how many calls there was none to fail. */
async function withEachFailing(ruleOf: (n: number) => Rule): Promise<{ calls: number; left: Set<string> }> {
  const left = new Set<string>();
  for (let n = 1; ; n += 1) {
    const room = touched();
    const found = planAdopt(room.context, 'lint');
    const faulty = new FaultyDisk(plainDisk);
    faulty.arm(ruleOf(n));
    const { context } = through(room, faulty.disk);
    const outcome = await Promise.resolve()
      .then(() => adoptTouched(context, 'lint', found))
      .catch((error: unknown) => error);
    if (faulty.failed.length === 0) {
      expect(outcome).toBe(true);
      return { calls: n, left };
    }
    const receipts = namesIn(room, room.layout.receipts).length;
    if (markerOf(room) === '') {
      left.add(`${receipts} receipts, ${namesIn(room, room.layout.staging).length} in staging`);
    } else {
      expect([receipts, verifyPlugin(room.context, 'lint').verdict]).toEqual([1, 'intact']);
    }
  }
}

it('takes its steps back where any one call fails: an empty marker is left with no receipt and no slot', async () => {
  const { calls, left } = await withEachFailing((n) => failOnce(n, 'EIO'));
  expect(calls).toBeGreaterThan(30);
  expect([...left]).toEqual(['0 receipts, 0 in staging']);
});

it('whole marker or empty one, wherever its process is killed', async () => {
  expect((await withEachFailing(crashAt)).calls).toBeGreaterThan(30);
});
