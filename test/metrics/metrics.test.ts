/** The figures: how they are counted, bounded and written. */
import { describe, expect, it } from 'vitest';

import { watchLoopDelay } from '../../agent/metrics/loop-delay.ts';
import { Metrics } from '../../agent/metrics/metrics.ts';
import { type MetricRow, counter, gauge, histogram, one, seriesOf, single } from '../../agent/metrics/row.ts';
import { metrics } from '../../agent/metrics/table.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { Fault } from '../../shared/api/fault.ts';
import { FakeClock } from '../_kit/clock.ts';
import { QUIET, readMetrics } from '../_kit/metrics.ts';

const OPERATION = { operationId: 'operation-1', plugin: 'lint' };
const failed = (rules: readonly number[], code: 'ARCHIVE_PATH' | 'NO_SPACE' = 'ARCHIVE_PATH'): EventBody => ({
  type: 'install.failed',
  data: {
    ...OPERATION,
    error: new Fault(code, 'no', {
      violations: rules.map((rule) => ({ path: 'x', rule, code, what: 'no' })),
    }).toData(),
  },
});
const step = (name: 'receive' | 'seal', millis?: number, received = 10): EventBody => ({
  type: 'install.progress',
  data: {
    ...OPERATION,
    step: name,
    received,
    total: 10,
    entries: 1,
    ...(millis === undefined ? {} : { millis }),
  },
});

const after = (...heard: EventBody[]): Map<string, number> => {
  const counted = new Metrics();
  for (const event of heard) counted.hear(event);
  return readMetrics(counted.text(QUIET));
};

describe('what happens', () => {
  it('is counted by result and code, and each code begins with 0, so that its first time shows as a growth', () => {
    const before = after();
    expect(before.get('airlock_installs_total{code="NO_SPACE",result="failed"}')).toBe(0);
    expect(before.get('airlock_installs_total{code="none",result="installed"}')).toBe(0);
    expect(before.get('airlock_installs_total{code="NO_SPACE",result="installed"}')).toBeUndefined();
    const now = after(failed([], 'NO_SPACE'), failed([], 'NO_SPACE'));
    expect(now.get('airlock_installs_total{code="NO_SPACE",result="failed"}')).toBe(2);
  });

  it('is counted once for each rule that an archive breaks', () => {
    const now = after(failed([8, 8, 1]), failed([8]));
    expect(now.get('airlock_refusals_total{rule="8"}')).toBe(2);
    expect(now.get('airlock_refusals_total{rule="1"}')).toBe(1);
  });

  it('is sorted into buckets that count all smaller ones too, as soon as a step has ended', () => {
    const now = after(step('seal', 7), step('seal', 700), step('seal', 999_999), step('seal'));
    const bucket = (le: string): number | undefined =>
      now.get(`airlock_install_step_duration_seconds_bucket{le="${le}",step="seal"}`);
    expect([bucket('0.005'), bucket('0.01'), bucket('1'), bucket('300'), bucket('+Inf')]).toEqual([
      0, 1, 2, 2, 3,
    ]);
    expect(now.get('airlock_install_step_duration_seconds_count{step="seal"}')).toBe(3);
    expect(now.get('airlock_install_step_duration_seconds_sum{step="seal"}')).toBeCloseTo(1000.706);
  });

  it('counts the bytes of a bundle once, at its end', () => {
    expect(after(step('receive'), step('receive', undefined, 5)).get('airlock_bundle_bytes_total')).toBe(0);
    expect(after(step('receive'), step('receive', 3)).get('airlock_bundle_bytes_total')).toBe(10);
  });

  it('makes no series that the table does not list, whatever is said', () => {
    const row = counter({
      name: 'airlock_x_total',
      help: 'X.',
      labels: { of: ['a'] },
      count: ({ type }) => one({ of: type, unlisted: 'x' }),
    });
    const counted = new Metrics([row]);
    for (const type of ['draining', 'authentication.failed', 'handshake.failed'] as const) {
      counted.hear(type === 'draining' ? { type, data: {} } : { type });
    }
    expect(counted.text(QUIET)).toBe(
      '# HELP airlock_x_total X.\n# TYPE airlock_x_total counter\nairlock_x_total{of="a"} 0\nairlock_x_total{of="other"} 3\n',
    );
  });
});

describe('the text', () => {
  const textOf = (row: MetricRow): string => new Metrics([row]).text(QUIET);

  it('escapes what would end a line or a value', () => {
    const row = gauge({
      name: 'airlock_x',
      help: 'One \\ and\nanother "line".',
      labels: { of: [] },
      read: () => one({ of: 'a"b\\c\nd' }),
    });
    expect(textOf(row)).toBe(
      '# HELP airlock_x One \\\\ and\\nanother "line".\n# TYPE airlock_x gauge\nairlock_x{of="a\\"b\\\\c\\nd"} 1\n',
    );
  });

  it('leaves out what is not known, and what is no number', () => {
    expect(textOf(gauge({ name: 'airlock_x', help: 'X.', read: () => single(undefined) }))).toBe('');
    expect(textOf(gauge({ name: 'airlock_x', help: 'X.', read: () => single(Number.NaN) }))).toBe('');
  });

  it('has the figures of the disk only where it was looked at', () => {
    expect(readMetrics(new Metrics().text(QUIET)).has('airlock_snapshots')).toBe(false);
    const plugins = { admitted: 2, refused: 1, pending: 1, promised: 0, drifted: 3, held: 1, disabled: 0 };
    const root = { plugins, troubles: 1, snapshots: 4, unfinished: 0, freeBytes: 5 };
    const now = readMetrics(new Metrics().text({ ...QUIET, root, look: { ageSeconds: 2, tookSeconds: 1 } }));
    expect(now.get('airlock_plugins{status="admitted"}')).toBe(2);
    expect(now.get('airlock_plugins_drifted')).toBe(3);
    expect(now.get('airlock_snapshots')).toBe(4);
    expect(now.get('airlock_look_age_seconds')).toBe(2);
  });

  it('says which mode the watch is in, and whether the last restart failed once one has ended', () => {
    const ended = { endedAt: '2026-05-08T14:15:30.123Z', ok: false, how: 'exit code 7' };
    const said = (facts: Partial<typeof QUIET>): Map<string, number> =>
      readMetrics(new Metrics().text({ ...QUIET, ...facts }));
    const polling = said({ watch: { mode: 'polling', notices: [] }, restart: { state: 'idle', last: null } });
    expect(polling.get('airlock_watch_mode{mode="polling"}')).toBe(1);
    expect(polling.get('airlock_watch_mode{mode="on"}')).toBe(0);
    expect(polling.has('airlock_restart_command_failed')).toBe(false);
    expect(said({ restart: { state: 'idle', last: ended } }).get('airlock_restart_command_failed')).toBe(1);
  });
});

describe('the table', () => {
  it('has each name once, by the conventions, with a sentence', () => {
    const names = metrics.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const wrong = metrics.filter(
      ({ name, type, help, labels }) =>
        !/^(?:airlock|process)_[a-z_]+$/.test(name) ||
        name.endsWith('_total') !== (type === 'counter') ||
        !/^[A-Z][^\n]+\.$/.test(help) ||
        !Object.keys(labels).every((label) => /^[a-z_]+$/.test(label)),
    );
    expect(wrong).toEqual([]);
  });

  it('has buckets that ascend', () => {
    const buckets = metrics.flatMap((row) => (row.kind === 'histogram' ? [row.buckets] : []));
    expect(buckets.length).toBeGreaterThan(0);
    expect(buckets.map((bounds) => bounds.toSorted((a, b) => a - b))).toEqual(buckets);
  });

  it('begins with fewer than 300 series', () => {
    expect(after().size).toBeLessThan(300);
  });

  it('counts a label with no values as one series', () => {
    expect(seriesOf({})).toEqual([{}]);
    expect(seriesOf({ a: ['1', '2'], b: ['3'] })).toEqual([
      { a: '1', b: '3' },
      { a: '2', b: '3' },
    ]);
  });
});

it('the delay of the loop is how much later it comes than it was asked to', () => {
  const clock = new FakeClock();
  const told: number[] = [];
  const stop = watchLoopDelay(
    {
      now: () => clock.now(),
      // The loop comes 30 ms late.
      after: (millis, call) => clock.after(millis + 30, call),
    },
    (millis) => told.push(millis),
  );
  clock.advance(600);
  expect(told).toEqual([30, 30]);
  stop();
  clock.advance(600);
  expect([told.length, clock.running]).toEqual([2, 0]);
});

it('a histogram without labels has one series from the start', () => {
  const row = histogram({ name: 'airlock_x_seconds', help: 'X.', buckets: [1], observe: () => single(2) });
  const counted = new Metrics([row]);
  counted.hear({ type: 'draining', data: {} });
  expect(readMetrics(counted.text(QUIET))).toEqual(
    new Map([
      ['airlock_x_seconds_bucket{le="1"}', 0],
      ['airlock_x_seconds_bucket{le="+Inf"}', 1],
      ['airlock_x_seconds_sum', 2],
      ['airlock_x_seconds_count', 1],
    ]),
  );
});
