import { describe, expect, it } from 'vitest';

import { EventLog } from '../../agent/transport/event-log.ts';
import type { Event, EventBody } from '../../shared/api/events.ts';

const DRAINING: EventBody = { type: 'draining', data: {} };

function filled(count: number): EventLog {
  const eventLog = new EventLog('boot-1', () => Date.parse('2026-05-08T14:15:30.123Z'));
  for (let i = 0; i < count; i += 1) {
    eventLog.publish(DRAINING);
  }
  return eventLog;
}
const numbers = (events: Event[] | undefined): number[] | undefined => events?.map(({ seq }) => seq);

describe('the outbox', () => {
  it('numbers events from 1, without a gap, and says whose they are and when they were', () => {
    const eventLog = filled(0);
    const heard: Event[] = [];
    eventLog.listen((event) => heard.push(event));
    eventLog.publish(DRAINING);
    eventLog.publish(DRAINING);
    expect(heard).toEqual([
      { bootId: 'boot-1', seq: 1, at: '2026-05-08T14:15:30.123Z', type: 'draining', data: {} },
      { bootId: 'boot-1', seq: 2, at: '2026-05-08T14:15:30.123Z', type: 'draining', data: {} },
    ]);
    expect(eventLog.at).toEqual({ bootId: 'boot-1', seq: 2 });
  });

  it('tells exactly what came after a place', () => {
    const eventLog = filled(5);
    expect(numbers(eventLog.since({ bootId: 'boot-1', seq: 3 }))).toEqual([4, 5]);
    expect(numbers(eventLog.since({ bootId: 'boot-1', seq: 0 }))).toEqual([1, 2, 3, 4, 5]);
    expect(numbers(eventLog.since({ bootId: 'boot-1', seq: 5 }))).toEqual([]);
  });

  it('cannot tell of another start, nor of a place that has never been', () => {
    const eventLog = filled(5);
    expect(eventLog.since({ bootId: 'boot-0', seq: 3 })).toBeUndefined();
    expect(eventLog.since({ bootId: 'boot-1', seq: 6 })).toBeUndefined();
  });

  it('keeps the last two thousand, and says so when more is asked for', () => {
    const eventLog = filled(2005);
    expect(eventLog.since({ bootId: 'boot-1', seq: 4 })).toBeUndefined();
    expect(eventLog.since({ bootId: 'boot-1', seq: 5 })).toHaveLength(2000);
  });

  it('tells nothing to who has stopped listening, also in the middle of a round', () => {
    const eventLog = filled(0);
    const heard: string[] = [];
    const stopA = eventLog.listen(() => {
      heard.push('a');
      stopB();
    });
    const stopB = eventLog.listen(() => heard.push('b'));
    eventLog.publish(DRAINING);
    stopA();
    eventLog.publish(DRAINING);
    expect(heard).toEqual(['a']);
  });

  it('keeps no more than can be sent at once to a client that comes back', () => {
    const eventLog = filled(0);
    const reasons = Array.from({ length: 100 }, () => ({
      path: 'ü'.repeat(300),
      change: 'added' as const,
      why: '',
    }));
    for (let i = 0; i < 1000; i += 1) {
      eventLog.publish({
        type: 'plugin.changed',
        data: {
          plugin: 'lint',
          kind: 'cold',
          action: 'restart',
          restarting: false,
          reasons: { items: reasons, total: 100 },
          cause: 'edit',
        },
      });
    }
    expect(eventLog.since({ bootId: 'boot-1', seq: 0 })).toBeUndefined();
    const places = Array.from({ length: 1000 }, (_, seq) => ({ bootId: 'boot-1', seq }));
    const kept = places.map((place) => eventLog.since(place)).find((events) => events !== undefined) ?? [];
    expect(kept.length).toBeGreaterThan(50);
    expect(numbers(kept)?.at(-1)).toBe(1000);
    expect(Buffer.byteLength(JSON.stringify(kept))).toBeLessThan(16 * 1024 * 1024);
  });
});
