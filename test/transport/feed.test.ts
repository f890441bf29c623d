import { describe, expect, it } from 'vitest';

import { deferred } from '../../agent/worker/deferred.ts';
import { EventLog, startFeed } from '../../agent/transport/event-log.ts';
import type { Event, EventBody, EventType } from '../../shared/api/events.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import type { Result } from '../../shared/api/methods.ts';
import { truncate } from '../../shared/truncate.ts';

type Plugins = Result<'plugin.list'>['plugins'];

const DRAINING: EventBody = { type: 'draining', data: {} };
const SWAPPED: EventBody = {
  type: 'install.swapped',
  data: { operationId: 'operation-1', plugin: 'lint', installId: 'x', replaced: null },
};
const SNAPSHOT: EventBody = { type: 'snapshot', data: { plugins: { items: [], total: 0 } } };
const plugins = (count: number): PluginInfo[] =>
  Array.from({ length: count }, (_, i) => ({ name: `p${i}`, status: 'admitted' }));

const never = (): Promise<Plugins> => Promise.reject(new Error('Nobody should have asked for a list'));

function make(count: number): { eventLog: EventLog; told: Event[]; tell: (event: Event) => void } {
  const eventLog = new EventLog('boot-1', Date.now);
  for (let i = 0; i < count; i += 1) {
    eventLog.publish(DRAINING);
  }
  const told: Event[] = [];
  return { eventLog, told, tell: (event) => told.push(event) };
}
const inWords = (events: Event[]): string => events.map(({ type, seq }) => `${type} ${seq}`).join(', ');

describe('a feed of events', () => {
  it('begins with what comes next where nothing is to be resumed', async () => {
    const { eventLog, told, tell } = make(3);
    const feed = await startFeed(eventLog, never, { events: 'all' }, tell);
    eventLog.publish(DRAINING);
    expect(feed.resumed).toBe(true);
    expect(inWords(told)).toBe('draining 4');
  });

  it('sends what was missed, once and in order, and goes on with what comes', async () => {
    const { eventLog, told, tell } = make(3);
    const resume = { bootId: 'boot-1', seq: 1 };
    const feed = await startFeed(eventLog, never, { events: 'all', resume }, tell);
    eventLog.publish(SWAPPED);
    expect(feed.resumed).toBe(true);
    expect(inWords(told)).toBe('draining 2, draining 3, install.swapped 4');
  });

  it.each([
    ['of another start of the agent', { bootId: 'boot-0', seq: 2 }],
    ['that has never been', { bootId: 'boot-1', seq: 99 }],
  ])('sends a snapshot for a place %s, with the number after which it goes on', async (_, resume) => {
    const { eventLog, told, tell } = make(3);
    const list = (): Promise<Plugins> => Promise.resolve(truncate(plugins(2)));
    const feed = await startFeed(eventLog, list, { events: 'all', resume }, tell);
    eventLog.publish(DRAINING);
    expect(feed.resumed).toBe(false);
    expect(inWords(told)).toBe('snapshot 3, draining 4');
    expect(told[0]?.data).toEqual({ plugins: { items: plugins(2), total: 2 } });
  });

  it('sends a snapshot for a place that is gone, cut like every list', async () => {
    const { eventLog, told, tell } = make(2100);
    const list = (): Promise<Plugins> => Promise.resolve(truncate(plugins(150)));
    const resume = { bootId: 'boot-1', seq: 7 };
    await startFeed(eventLog, list, { events: 'all', resume }, tell);
    expect(told).toMatchObject([{ type: 'snapshot', seq: 2100, data: { plugins: { total: 150 } } }]);
    expect(told[0]?.data).toHaveProperty('plugins.items.length', 100);
  });

  it('loses nothing of what happens while the snapshot is made', async () => {
    const { eventLog, told, tell } = make(3);
    const list = deferred<Plugins>();
    const resume = { bootId: 'boot-0', seq: 0 };
    const started = startFeed(eventLog, () => list.promise, { events: 'all', resume }, tell);
    eventLog.publish(SWAPPED);
    list.resolve(truncate([]));
    await started;
    expect(inWords(told)).toBe('snapshot 3, install.swapped 4');
  });

  // Was a bug: it listed again for as long as more events came during a list than are kept.
  it('makes one snapshot, however much happens meanwhile, and sends all of that after it', async () => {
    const { eventLog, told, tell } = make(3);
    let asked = 0;
    const list = (): Promise<Plugins> => {
      asked += 1;
      for (let i = 0; i < 2001; i += 1) {
        eventLog.publish(DRAINING);
      }
      return Promise.resolve(truncate([]));
    };
    await startFeed(eventLog, list, { events: 'all', resume: { bootId: 'boot-0', seq: 0 } }, tell);
    expect([asked, told.length]).toEqual([1, 2002]);
    expect(inWords([...told.slice(0, 2), ...told.slice(-1)])).toBe('snapshot 3, draining 4, draining 2004');
  });

  it('listens no more where the list fails', async () => {
    const { eventLog, told, tell } = make(3);
    const failing = startFeed(eventLog, never, { events: 'all', resume: { bootId: 'x', seq: 0 } }, tell);
    await expect(failing).rejects.toThrow('Nobody should have asked');
    eventLog.publish(DRAINING);
    expect(told).toEqual([]);
  });

  it('sends the types that were asked for, and a snapshot in any case', async () => {
    const { eventLog, told, tell } = make(3);
    const resume = { bootId: 'boot-0', seq: 0 };
    await startFeed(
      eventLog,
      () => Promise.resolve(truncate([])),
      { events: ['install.swapped'], resume },
      tell,
    );
    eventLog.publish(DRAINING);
    eventLog.publish(SWAPPED);
    expect(inWords(told)).toBe('snapshot 3, install.swapped 5');
  });

  it('sends nothing to who wants nothing', async () => {
    const { eventLog, told, tell } = make(3);
    await startFeed(eventLog, never, { events: [], resume: { bootId: 'boot-1', seq: 0 } }, tell);
    eventLog.publish(DRAINING);
    eventLog.publish(SNAPSHOT);
    expect(told).toEqual([]);
  });

  it('sends a snapshot that is told to everybody to who asked for other types, also when it was missed', async () => {
    const { eventLog, told, tell } = make(1);
    const events: EventType[] = ['install.swapped'];
    await startFeed(eventLog, never, { events }, tell);
    eventLog.publish(DRAINING);
    eventLog.publish(SNAPSHOT);
    eventLog.publish(SWAPPED);
    expect(inWords(told)).toBe('snapshot 3, install.swapped 4');
    const again = await startFeed(eventLog, never, { events, resume: { bootId: 'boot-1', seq: 1 } }, tell);
    expect([again.resumed, inWords(told.slice(2))]).toEqual([true, 'snapshot 3, install.swapped 4']);
  });

  it('stops when it is told to', async () => {
    const { eventLog, told, tell } = make(0);
    const feed = await startFeed(eventLog, never, { events: 'all' }, tell);
    feed.stop();
    eventLog.publish(DRAINING);
    expect(told).toEqual([]);
  });
});
