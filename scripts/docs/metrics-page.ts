/** docs/metrics.md: the table of metrics as a page. */
import type { LabelValues, MetricRow } from '../../agent/metrics/row.ts';

/** Longer lists of values are shown by their first one. */
const VALUES_MAX = 8;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

const labelsOf = (labels: LabelValues): string =>
  Object.entries(labels)
    .map(([label, values]) => {
      if (values.length === 0) return `\`${label}\``;
      const shown = values.length > VALUES_MAX ? [`${values[0]}`, '…'] : values;
      return `\`${label}\`: ${shown.join(', ')}`;
    })
    .join('; ');

/** @param rows every metric. */
export function metricsPage(rows: readonly MetricRow[]): string {
  const lines = rows.map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labelsOf(labels)} | ${cell(help)} |`,
  );
  return `# Metrics

<!-- Written by "npm run docs" from agent/metrics/table.ts. -->

\`GET /metrics\` answers the text format 0.0.4 of Prometheus on the port or the Unix socket of the agent.
[Monitoring](operations.md#monitoring) says who gets it and how to scrape it.

- No label holds the name of a plugin, a client or a file. An agent at rest has fewer than 300 series.
- A counter begins with 0 when the agent starts. Series of rules and methods appear when something was counted.
- \`code\` is \`none\`, or [a code of faults](protocol.md#asking-again). \`rule\` is the number of a [rule for archives](archives.md#rules).
- What is on the disk (plugins, troubles, snapshots, free bytes) is counted by a thread of its own, at most once in 15 s and for at most a
  twentieth of the time. \`airlock_look_age_seconds\` is the age of these figures. If the disk does not answer, a scrape waits 5 s, and gets
  the last ones. If the disk answers with an error, they are absent.
- One scrape runs at a time. Who asks meanwhile gets the same text.

| metric | type | labels | what it is |
|---|---|---|---|
${lines.join('\n')}
`;
}
