import { describe, expect, it } from 'vitest';

import { MARKER } from '../../shared/format/layout.ts';
import { layered } from '../_kit/change-scenes.ts';
import { BUNDLES, NEW, part } from '../_kit/fault-scenes.ts';
import { FaultyDisk, failOnce } from '../_kit/faulty-disk.ts';
import {
  type Room,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  photograph,
  remove,
  through,
} from '../_kit/install-room.ts';
import { createMemoryDisk } from '../_kit/memory-disk.ts';

/** A room in which version 1 lies in a layer of the image. */
async function baked(
  exchange = false,
): Promise<{ room: Room; faulty: FaultyDisk; old: Record<string, string> }> {
  const disk = createMemoryDisk({ exchange });
  const room = makeRoom({}, disk, '/plugins');
  await deliver(room, BUNDLES[0]);
  const faulty = new FaultyDisk(layered(disk, room.layout.live('lint')));
  return { room: through(room, faulty.disk), faulty, old: part(photograph(disk, '/plugins'), 'lint') };
}

const asSnapshot = (tree: Record<string, string>, id: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tree).map(([path, what]) => [path.replace('/lint', `/.previous/lint.${id}`), what]),
  );

describe.each([false, true])('a live version in a lower layer (exchange: %s)', (exchange) => {
  it('is copied to its snapshot with modes and marker, cleared, and replaced', async () => {
    const { room, faulty, old } = await baked(exchange);
    faulty.arm(() => undefined);
    const { installId } = await deliver(room, NEW);
    const after = photograph(room.context.disk, '/plugins');
    expect(part(after, `.previous/lint.${installId}`)).toEqual(asSnapshot(old, installId));
    expect(after['/lint/plugin.yaml']).toContain('version: 3');
    expect([namesIn(room, room.layout.staging), room.complaints]).toEqual([[], []]);
    // The marker goes first, durably, and only when the copy has its name.
    const calls = faulty.calls.map(({ kind, path, to }) => `${kind} ${path} ${to}`.trim());
    const named = calls.findIndex((call) => /^rename \S+\.old /.test(call));
    const unmarked = calls.indexOf(`unlink /plugins/lint/${MARKER}`);
    const cleared = calls.findIndex(
      (call) => call.startsWith('unlink /plugins/lint/') && !call.endsWith(MARKER),
    );
    expect(named).toBeGreaterThan(0);
    expect(unmarked).toBeGreaterThan(named);
    expect(cleared).toBeGreaterThan(unmarked);
    expect(calls.slice(unmarked, cleared)).toContain('sync /plugins/lint/.');
  });

  it('can be removed', async () => {
    const { room, old } = await baked(exchange);
    expect(remove(room).status).toBe('removed');
    const after = photograph(room.context.disk, '/plugins');
    const [snapshot = ''] = namesIn(room, room.layout.previous);
    expect(part(after, `.previous/${snapshot}`)).toEqual(asSnapshot(old, snapshot.replace('lint.', '')));
    expect(part(after, 'lint')).toEqual({});
  });

  it('is not copied where EXDEV says something else: a bind mount gives it too', async () => {
    const { room, old } = await baked(exchange);
    const elsewhere = { ...room.context.disk, sameOverlay: () => false };
    const fault = await faultOf(() => deliver(through(room, elsewhere), NEW));
    expect([fault.code, fault.hint]).toEqual(['SWAP_FAILED', expect.stringContaining('mount nothing')]);
    expect(part(photograph(room.context.disk, '/plugins'), 'lint')).toEqual(old);
    expect(namesIn(room, room.layout.previous)).toEqual([]);
  });

  it('leaves no copy behind that could not be made durable', async () => {
    const { room, faulty, old } = await baked(exchange);
    let named = 0;
    faulty.arm((call) => {
      named = call.kind === 'rename' && call.path.endsWith('.old') ? call.n : named;
      return named > 0 && call.kind === 'sync' ? failOnce(named + 2, 'EIO')(call) : undefined;
    });
    const fault = await faultOf(() => deliver(room, NEW));
    expect([fault.code, faulty.failed.length]).toEqual(['SWAP_FAILED', 1]);
    expect(part(photograph(room.context.disk, '/plugins'), 'lint')).toEqual(old);
    expect(namesIn(room, room.layout.previous)).toEqual([]);
  });
});
