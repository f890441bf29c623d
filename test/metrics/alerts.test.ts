/** The alert rules: what they name exists, each fires when it should, and a page says what to do. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import * as z from 'zod';

import { scratch } from '../_kit/agent.ts';
import { type Figures, alertCases } from '../_kit/alert-cases.ts';
import { repository } from '../_kit/program.ts';
import { unknownIn } from '../_kit/promql.ts';
import { promtool } from '../_kit/promtool.ts';

const file = join(repository, 'examples/monitoring/alerts.yml');
const ruleSchema = z.strictObject({
  alert: z.string().regex(/^Airlock[A-Z][A-Za-z]+$/),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.strictObject({ summary: z.string(), action: z.string(), runbook: z.string() }),
});
const rules = z
  .strictObject({
    groups: z.tuple([z.strictObject({ name: z.literal('airlock'), rules: z.array(ruleSchema).min(1) })]),
  })
  .parse(parse(await readFile(file, 'utf8'))).groups[0].rules;

it('are found well by promtool', (ctx) => {
  expect(promtool(ctx, ['check', 'rules', file])).toMatchObject({ code: 0 });
});

it('name only metrics, labels and values of the table of metrics', () => {
  const unknown = rules.flatMap(({ alert, expr, annotations }) => {
    const shown = Object.values(annotations).flatMap((text) =>
      [...text.matchAll(/\$labels\.([a-z_]+)/g)].map(([, label = '']) => label),
    );
    return unknownIn(expr, shown).map((what) => `${alert}: ${what}`);
  });
  expect(unknown).toEqual([]);
});

it('would be found to name what does not exist', () => {
  expect(unknownIn('airlock_trouble > 0')).toEqual(['the metric airlock_trouble']);
  expect(unknownIn('airlock_watch_mode{mode="broken"} == 1')).toEqual([
    'mode="broken" of airlock_watch_mode',
  ]);
  expect(unknownIn('airlock_watch_mode{state="on"} == 1')).toEqual(['the label state of airlock_watch_mode']);
  expect(unknownIn('airlock_installs_total{code=~"NO_SPACE|NO_SUCH.*"}')).toHaveLength(1);
  expect(unknownIn('sum by (job, plugin) (rate(airlock_staged_bytes_total[5m]))')).toEqual([
    'the label plugin',
  ]);
  expect(unknownIn('airlock_troubles > 0', ['pool'])).toEqual(['the label pool']);
  expect(unknownIn('airlock_event_loop_delay_seconds > 0')).toHaveLength(1);
  expect(unknownIn('vector(1)')).toHaveLength(1);
});

it('have each a section that says what to do, with a command, and the page has no other', async () => {
  const page = await readFile(join(repository, 'docs/alerts.md'), 'utf8');
  const sections = new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map((text) => [text.slice(0, text.indexOf('\n')), text]),
  );
  expect([...sections.keys()].toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
  for (const { alert, labels, annotations } of rules) {
    expect(annotations.runbook).toBe(`docs/alerts.md#${alert.toLowerCase()}`);
    const section = sections.get(alert);
    expect(section).toContain(`\n\n\`${labels.severity}\`. `);
    expect(section).toContain('\n\nLook ');
    expect(section).toMatch(/\n\n```\n[^`]+\n```\n/);
  }
});

/** A test for promtool. */
const testOf = (alert: string, { series, at }: Figures, expected: readonly object[]): object => ({
  interval: '1m',
  input_series: Object.entries(series).map(([name, values]) => ({
    series: withTarget(name),
    values,
  })),
  alert_rule_test: [{ eval_time: `${at}m`, alertname: alert, exp_alerts: expected }],
});

const TARGET = { job: 'airlock', instance: 'a' };
function withTarget(series: string): string {
  const [name = '', labels = '}'] = series.split('{');
  return `${name}{job="${TARGET.job}",instance="${TARGET.instance}"${labels === '}' ? '' : ','}${labels}`;
}

it('fire when they should, and only then', async (ctx) => {
  expect(Object.keys(alertCases)).toEqual(rules.map(({ alert }) => alert));
  const tests = rules.flatMap(({ alert, labels, annotations }) => {
    const { fires, quiet = [] } = alertCases[alert] ?? {};
    if (fires === undefined) return [];
    expect(quiet).not.toEqual([]);
    const expected = {
      exp_labels: { ...TARGET, ...labels, ...fires.labels },
      exp_annotations: { ...annotations, summary: fires.summary },
    };
    return [testOf(alert, fires, [expected]), ...quiet.map((figures) => testOf(alert, figures, []))];
  });
  const folder = await scratch();
  await writeFile(
    join(folder, 'test.yml'),
    stringify({ rule_files: [file], evaluation_interval: '1m', tests }),
  );
  const { code, said } = promtool(ctx, ['test', 'rules', join(folder, 'test.yml')]);
  expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining('SUCCESS') as string });
});
