/** What a metric is: one row of the table. Its series, its page in the docs and its text follow from the row. */
import type { Facts, Heard } from './facts.ts';

/** The values that each label may have. A closed list bounds the number of series. */
export type LabelValues = Readonly<Record<string, readonly string[]>>;
export type Labels = Readonly<Record<string, string>>;
/** One series of a metric, and a value for it. */
export type Sample = { labels: Labels; value: number };

type Named = {
  /** By the conventions of Prometheus: base units, and `_total` for counters. */
  name: `airlock_${string}` | `process_${string}`;
  /** What it counts, in one sentence. */
  help: string;
  labels: LabelValues;
};

/** Counts what happens. The series of `start` begin with 0; others appear when something was counted. */
export type CounterRow = Named & {
  kind: 'counter';
  type: 'counter';
  start: readonly Labels[];
  count: (heard: Heard) => readonly Sample[];
};
/** Reads a value at each scrape. A counter is read where its owner counts already. */
export type ReadRow = Named & {
  kind: 'read';
  type: 'gauge' | 'counter';
  read: (facts: Facts) => readonly Sample[];
};
/** Sorts what happens into buckets. */
export type HistogramRow = Named & {
  kind: 'histogram';
  type: 'histogram';
  /** The upper bounds, ascending; one without a bound follows by itself. */
  buckets: readonly number[];
  observe: (heard: Heard) => readonly Sample[];
};

/** One row of the table of metrics. */
export type MetricRow = CounterRow | ReadRow | HistogramRow;

type Given<R extends MetricRow> = Omit<R, 'kind' | 'type' | 'labels'> & { labels?: LabelValues };

/** Each combination of the values of some labels; one without labels if there are none. */
export function seriesOf(values: LabelValues): Labels[] {
  let all: Labels[] = [{}];
  for (const [label, of] of Object.entries(values)) {
    all = all.flatMap((labels) => of.map((value) => ({ ...labels, [label]: value })));
  }
  return all;
}

/** A counter of what happens. Every series begins with 0, unless the row says which ones do. */
export const counter = (
  row: Omit<Given<CounterRow>, 'start'> & { start?: readonly Labels[] },
): CounterRow => ({
  labels: {},
  start: seriesOf(row.labels ?? {}),
  ...row,
  kind: 'counter',
  type: 'counter',
});

/** A counter that its owner keeps. */
export const total = (row: Given<ReadRow>): ReadRow => ({
  labels: {},
  ...row,
  kind: 'read',
  type: 'counter',
});

/** A value that goes up and down. */
export const gauge = (row: Given<ReadRow>): ReadRow => ({ labels: {}, ...row, kind: 'read', type: 'gauge' });

/** How often a value was how large. */
export const histogram = (row: Given<HistogramRow>): HistogramRow => ({
  labels: {},
  ...row,
  kind: 'histogram',
  type: 'histogram',
});

/** The only series of a metric without labels; none if the value is not known. */
export const single = (value: number | boolean | undefined): Sample[] =>
  value === undefined ? [] : [{ labels: {}, value: Number(value) }];

/** One more of a series. */
export const one = (labels: Labels = {}): Sample[] => [{ labels, value: 1 }];

/** One series for each value of a label, 1 for the current one. */
export const states = (label: string, values: readonly string[], current: string): Sample[] =>
  values.map((value) => ({ labels: { [label]: value }, value: Number(value === current) }));

/** One series for each key of a record. */
export const byKey = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));
