/** The dashboard: Grafana can read it, and it asks only for figures that an agent has, and for all of them. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import * as z from 'zod';

import { metrics } from '../../agent/metrics/table.ts';
import { scratch } from '../_kit/agent.ts';
import { repository } from '../_kit/program.ts';
import { unknownIn } from '../_kit/promql.ts';
import { promtool } from '../_kit/promtool.ts';

const gridSchema = z.strictObject({
  x: z.int().min(0).max(23),
  y: z.int().min(0),
  w: z.int().min(1).max(24),
  h: z.int().min(1),
});
const sourceSchema = z.strictObject({ type: z.literal('prometheus'), uid: z.literal('${datasource}') });
const panelSchema = z.strictObject({
  id: z.int(),
  type: z.enum(['stat', 'timeseries', 'state-timeline']),
  title: z.string().min(1),
  description: z.string().min(1),
  datasource: sourceSchema,
  gridPos: gridSchema,
  fieldConfig: z.strictObject({
    defaults: z.object({ unit: z.enum(['short', 's', 'bytes', 'Bps', 'ops', 'percentunit']) }),
    overrides: z.array(z.never()),
  }),
  options: z.looseObject({}),
  targets: z
    .array(
      z.strictObject({
        refId: z.string().regex(/^[A-Z]$/),
        datasource: sourceSchema,
        expr: z.string(),
        legendFormat: z.string(),
      }),
    )
    .min(1),
});
const rowSchema = z.strictObject({
  id: z.int(),
  type: z.literal('row'),
  title: z.string(),
  collapsed: z.literal(false),
  panels: z.array(z.never()),
  gridPos: gridSchema,
});
const dashboardSchema = z.looseObject({
  title: z.string(),
  uid: z.string().regex(/^[\w-]{1,40}$/),
  schemaVersion: z.int().min(36),
  templating: z.strictObject({ list: z.array(z.looseObject({ name: z.string(), type: z.string() })) }),
  panels: z.array(z.discriminatedUnion('type', [rowSchema, panelSchema])),
});

const text = await readFile(join(repository, 'docs/dashboard.json'), 'utf8');
const { panels, templating } = dashboardSchema.parse(JSON.parse(text));
const shown = panels.flatMap((panel) => (panel.type === 'row' ? [] : [panel]));
const queries = shown.flatMap(({ title, targets }) => targets.map((target) => ({ title, ...target })));

it('names only metrics, labels and values of the table of metrics', () => {
  const unknown = queries.flatMap(({ title, expr, legendFormat }) => {
    const labels = [...legendFormat.matchAll(/\{\{([a-z_]+)\}\}/g)].map(([, label = '']) => label);
    return unknownIn(expr, labels).map((what) => `${title}: ${what}`);
  });
  expect(unknown).toEqual([]);
});

it('shows every metric of the table', () => {
  const missing = metrics.filter(
    ({ name }) => !queries.some(({ expr }) => expr.includes(`${name}{`) || expr.includes(`${name}_bucket{`)),
  );
  expect(missing.map(({ name }) => name)).toEqual([]);
});

it('has expressions that Prometheus can read', async (ctx) => {
  const rules = queries.map(({ expr }, i) => ({
    record: `panel:${i}`,
    expr: expr.replaceAll('$__rate_interval', '5m'),
  }));
  const file = join(await scratch(), 'rules.yml');
  await writeFile(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
  const { code, said } = promtool(ctx, ['check', 'rules', file]);
  expect({ code, said }).toMatchObject({ code: 0 });
  expect(said).toContain(`${rules.length} rules found`);
});

it('asks each question for the agents that are selected, with variables that exist', () => {
  const names = new Set(templating.list.map(({ name }) => name));
  expect(names).toEqual(new Set(['datasource', 'job', 'instance']));
  for (const { expr } of queries) {
    expect(expr).toContain('{job=~"$job",instance=~"$instance"');
    const used = [...expr.matchAll(/\$([a-z]\w*)/g)].map(([, name = '']) => name);
    expect(used.filter((name) => !names.has(name))).toEqual([]);
  }
});

it('has panels with ids of their own, none above another', () => {
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
  for (const { targets } of shown) {
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
  }
});
