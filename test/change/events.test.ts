import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import type { Disk } from '../../agent/disk/port.ts';
import { Install } from '../../agent/change/install.ts';
import { type EventBody, eventData } from '../../shared/api/events.ts';
import { intentSchema } from '../../shared/format/intent.ts';
import { bundleOf, deliver, faultOf, makeRoom, namesIn, paramsOf, plainDisk } from '../_kit/install-room.ts';
import { file, tar } from '../_kit/tar-builder.ts';

const BUNDLE = bundleOf({ 'rules/a.md': 'x' });

/** Events in short: their type, and of progress the step, with `.` where it has ended. */
const short = (events: EventBody[]): string[] =>
  events.map(({ type, data }) =>
    'step' in data ? `${data.step}${data.millis === undefined ? '' : '.'}` : type.replace('install.', '= '),
  );

describe('an install tells', () => {
  it('each step when it has ended, and what came of it, in order', async () => {
    const room = makeRoom();
    await deliver(room, BUNDLE);
    expect(short(room.events)).toEqual([
      'receive',
      'receive.',
      'stage.',
      'validate.',
      '= staged',
      'seal.',
      'swap.',
      'verify.',
      '= swapped',
      'plugin.changed',
      '= complete',
      'collect.',
    ]);
  });

  it('in words that the schemas of the wire accept, about this operation and this plugin', async () => {
    const room = makeRoom();
    const { installId, tree } = await deliver(room, BUNDLE, { operationId: 'operation-told' });
    for (const { type, data } of room.events) {
      expect(eventData[type].parse(data)).toEqual(data);
      const operation = 'cause' in data ? data.cause : 'operationId' in data && data.operationId;
      expect({ ...data, operation }).toMatchObject({ operation: 'operation-told', plugin: 'lint' });
    }
    const of = (type: string): unknown => room.events.find((event) => event.type === type)?.data;
    expect(of('install.staged')).toMatchObject({ tree, files: 2 });
    expect(of('install.swapped')).toMatchObject({ installId, replaced: null });
    expect(of('install.complete')).toMatchObject({
      installId,
      status: 'installed',
      version: '1.2.3',
      by: 'tester',
    });
  });

  it('how far it is, once for each megabyte', async () => {
    const room = makeRoom();
    const big = tar(file('plugin.yaml', 'name: lint\n'), file('a', Buffer.alloc(3_500_000, 'x')));
    await deliver(room, big, {}, 100_000);
    const progress = room.events.flatMap(({ data }) =>
      'step' in data && data.step === 'receive' && data.millis === undefined ? [data] : [],
    );
    expect(progress.map(({ received }) => Math.floor(received / 1_000_000))).toEqual([0, 1, 2, 3]);
    expect(progress.every(({ total }) => total === big.length)).toBe(true);
    expect(progress.at(-1)?.entries).toBe(2);
  });

  it('nothing of a swap if it is refused', async () => {
    const room = makeRoom();
    await faultOf(() => deliver(room, tar(file('a', 'x'))));
    expect(short(room.events)).toEqual(['receive', 'receive.', 'stage.']);
  });

  it('only that it is complete if it is present', async () => {
    const room = makeRoom();
    await deliver(room, BUNDLE);
    room.events.length = 0;
    await deliver(room, BUNDLE);
    expect(room.events.map(({ type, data }) => [type, 'status' in data ? data.status : ''])).toEqual([
      ['install.complete', 'present'],
    ]);
  });
});

describe('the intent of an install', () => {
  it('is there from the first byte to the end of house-keeping, and grows as more is known', async () => {
    const room = makeRoom();
    const old = await deliver(room, BUNDLE);
    const bytes = bundleOf({ 'rules/b.md': 'y' }, '2.0.0');
    const install = new Install(room.context, paramsOf(bytes, { operationId: 'operation-meant' }), 'tester');
    const stamp = install.begin();
    if (typeof stamp !== 'string') {
      throw new Error('It was present');
    }
    const intent = (): unknown =>
      intentSchema.parse(JSON.parse(readFileSync(room.layout.intent('lint', stamp), 'utf8')));
    const first = {
      op: 'install',
      plugin: 'lint',
      stamp,
      operationId: 'operation-meant',
      path: 'rename',
      from: { installId: old.installId, kind: 'marked' },
      tree: null,
      goal: 'forward',
      owner: room.context.owner,
    };
    expect(intent()).toMatchObject(first);
    await install.write(bytes);
    await install.validate();
    expect(namesIn(room, room.layout.staging)).toEqual([`lint.${stamp}`, `lint.${stamp}.json`]);
    const { tree } = install.install();
    expect(intent()).toMatchObject({ ...first, tree, files: 2 });
    install.collect();
    expect(namesIn(room, room.layout.staging)).toEqual([]);
  });

  it('is durable before the first rename, with its tree', async () => {
    const calls: string[] = [];
    const disk: Disk = {
      ...plainDisk,
      rename: (from, to) => {
        calls.push(`rename ${to.replace(/^.*\/plugins\//, '').replace(/\.\d{8}T\d{9}Z-[0-9a-f]{8}/, '.S')}`);
        nodeDisk.rename(from, to);
      },
      sync: (fd) => {
        calls.push(nodeDisk.statOpen(fd).kind === 'file' ? 'sync file' : 'sync directory');
        nodeDisk.sync(fd);
      },
    };
    const room = makeRoom({}, disk);
    await deliver(room, bundleOf({}, '1'));
    calls.length = 0;
    await deliver(room, bundleOf({ 'rules/b.md': 'y' }, '2'));
    expect(calls).toEqual([
      // the first intent
      'sync file',
      'rename .staging/lint.S.json',
      'sync directory',
      // the staged files
      'sync file',
      'sync file',
      // seal: the intent, the receipt, rules/, the marker, the slot, staging
      'sync file',
      'rename .staging/lint.S.json',
      'sync directory',
      'sync file',
      'rename .receipts/lint.S.json',
      'sync directory',
      'sync directory',
      'sync file',
      'sync directory',
      'sync directory',
      // swap: both parents after each rename
      'rename .previous/lint.S',
      'sync directory',
      'sync directory',
      'rename lint',
      'sync directory',
      'sync directory',
      // the answer is remembered, and durable after it was given: until then recovery takes it from the intent
      expect.stringMatching(/^rename \.operations\//),
      'sync file',
      'sync directory',
      // the line of the history and its name, then the intent is dropped
      'sync file',
      'sync directory',
      'sync directory',
      'sync directory',
    ]);
  });
});
