/** docs/dashboard.json: the figures of agents as a dashboard for Grafana. */

/** One line or number of a panel. */
type Query = { expr: string; legend: string };
type Kind = 'stat' | 'timeseries' | 'state-timeline';
/** The units of Grafana that are used. */
type Unit = 'short' | 's' | 'bytes' | 'Bps' | 'ops' | 'percentunit';
type Panel = { title: string; help: string; kind: Kind; unit: Unit; queries: readonly Query[]; red?: number };
type Row = { title: string; panels: readonly Panel[] };

const COLUMNS = 24;

/** A metric of the agents that are selected. */
const of = (metric: string, ...matchers: string[]): string =>
  `${metric}{${['job=~"$job"', 'instance=~"$instance"', ...matchers].join(',')}}`;
const perSecond = (by: string, metric: string, ...matchers: string[]): string =>
  `sum by (${by}) (rate(${of(metric, ...matchers)}[$__rate_interval]))`;
/** The bound below which that share of a histogram lies. */
const quantile = (share: number, by: string, histogram: string): string =>
  `histogram_quantile(${share}, ${perSecond(`${by}, le`, `${histogram}_bucket`)})`;

/** A number that is red from `red` on. */
const stat = (title: string, help: string, expr: string, red?: number, unit: Unit = 'short'): Panel => ({
  title,
  help,
  kind: 'stat',
  unit,
  queries: [{ expr, legend: '' }],
  ...(red === undefined ? {} : { red }),
});
const lines = (title: string, help: string, unit: Unit, queries: Record<string, string>): Panel => ({
  title,
  help,
  kind: 'timeseries',
  unit,
  queries: Object.entries(queries).map(([legend, expr]) => ({ legend, expr })),
});

const ROWS: readonly Row[] = [
  {
    title: 'What somebody has to look at',
    panels: [
      stat('Agents', 'Agents that are scraped.', `count(${of('airlock_info')})`),
      stat('Troubles', 'Failures that only an operator can repair.', `sum(${of('airlock_troubles')})`, 1),
      stat(
        'Refused plugins',
        'Plugins that the gate refuses.',
        `sum(${of('airlock_plugins', 'status="refused"')})`,
        1,
      ),
      stat(
        'Drift',
        'Plugins with files that were edited in place.',
        `sum(${of('airlock_plugins_drifted')})`,
        1,
      ),
      stat(
        'Pending restarts',
        'Plugins with a change that waits for a restart.',
        `sum(${of('airlock_plugins_pending')})`,
        1,
      ),
      stat(
        'Interrupted',
        'Plugins with a change that is under way or was interrupted.',
        `sum(${of('airlock_unfinished')})`,
      ),
      stat(
        'Least free space',
        'Bytes that the fullest root can still take.',
        `min(${of('airlock_root_free_bytes')})`,
        undefined,
        'bytes',
      ),
      stat(
        'First certificate to end',
        'Time until then.',
        `min(${of('airlock_certificate_end_timestamp_seconds')} - time())`,
        undefined,
        's',
      ),
    ],
  },
  {
    title: 'Installs',
    panels: [
      lines('Installs by result', 'How many end, by result.', 'ops', {
        '{{result}}': perSecond('result', 'airlock_installs_total'),
      }),
      lines('Failed installs by code', 'Why installs fail.', 'ops', {
        '{{code}}': `${perSecond('code', 'airlock_installs_total', 'result="failed"')} > 0`,
      }),
      lines('Refusals by rule', 'Archives that break a rule (docs/archives.md).', 'ops', {
        'rule {{rule}}': perSecond('rule', 'airlock_refusals_total'),
      }),
      lines('Median duration of a step', 'Half of the steps take less.', 's', {
        '{{step}}': quantile(0.5, 'step', 'airlock_install_step_duration_seconds'),
      }),
      lines('Slow steps', '19 of 20 take less. "receive" takes as long as the sender.', 's', {
        '{{step}}': quantile(0.95, 'step', 'airlock_install_step_duration_seconds'),
      }),
      lines('Bytes of bundles', 'Bundles received to their end, and the files of them.', 'Bps', {
        'bundles, {{job}}': perSecond('job', 'airlock_bundle_bytes_total'),
        'files, {{job}}': perSecond('job', 'airlock_staged_bytes_total'),
      }),
      lines('Files', 'Files that installs have staged and checked.', 'ops', {
        'files, {{job}}': perSecond('job', 'airlock_staged_files_total'),
      }),
      lines('Other changes', 'Rollbacks, uninstalls, adoptions.', 'ops', {
        '{{change}}': perSecond('change', 'airlock_changes_total'),
      }),
      lines('Verdicts', 'What changes of live plugins mean for the runtime.', 'ops', {
        '{{verdict}}': perSecond('verdict', 'airlock_verdicts_total'),
      }),
    ],
  },
  {
    title: 'Work',
    panels: [
      lines(
        'Lanes',
        'Operations under way, and those that wait for an earlier one on the same plugin.',
        'short',
        {
          'under way in {{instance}}': of('airlock_operations'),
          'waiting in {{instance}}': of('airlock_lanes_waiting'),
        },
      ),
      lines('Threads', 'Tasks that have a thread, and tasks that wait for one.', 'short', {
        '{{pool}} busy': `sum by (pool) (${of('airlock_threads_busy')})`,
        '{{pool}} waiting': `sum by (pool) (${of('airlock_threads_waiting')})`,
      }),
      lines('Requests', 'Requests of sessions that were answered.', 'ops', {
        '{{method}}': perSecond('method', 'airlock_requests_total'),
      }),
      lines('Faults of requests', 'Answers that are a fault.', 'ops', {
        '{{code}}': perSecond('code', 'airlock_requests_total', 'code!="none"'),
      }),
      lines('Event-loop delay', 'How late the event loop comes: 99 of 100 times less.', 's', {
        '{{instance}}': quantile(0.99, 'instance', 'airlock_event_loop_delay_seconds'),
      }),
      lines('Processor time', '100 % is one processor.', 'percentunit', {
        '{{instance}}': perSecond('instance', 'process_cpu_seconds_total'),
      }),
      lines('Memory', 'Memory of the agents.', 'bytes', {
        '{{instance}}': of('process_resident_memory_bytes'),
      }),
      lines('Age of the agents', 'A fall to 0 is a start.', 's', {
        '{{instance}}': `time() - ${of('process_start_time_seconds')}`,
      }),
    ],
  },
  {
    title: 'Connections',
    panels: [
      lines('Connections', 'Open connections, by the side that opened them.', 'short', {
        '{{opened_by}}': `sum by (opened_by) (${of('airlock_connections')})`,
      }),
      lines('New connections', 'Connections that were opened.', 'ops', {
        '{{opened_by}}': perSecond('opened_by', 'airlock_connections_opened_total'),
      }),
      lines('Bytes over connections', 'Messages that came and that were sent.', 'Bps', {
        'received ({{opened_by}})': perSecond('opened_by', 'airlock_received_bytes_total'),
        'sent ({{opened_by}})': perSecond('opened_by', 'airlock_sent_bytes_total'),
      }),
      lines(
        'Failed authentications',
        'Tokens that are missing or not known, and TLS handshakes that failed.',
        'ops',
        {
          'tokens, {{instance}}': perSecond('instance', 'airlock_authentication_failures_total'),
          'handshakes, {{instance}}': perSecond('instance', 'airlock_tls_handshake_failures_total'),
        },
      ),
      lines('Refused at the door', 'Upgrades and pages that were refused, by code.', 'ops', {
        '{{code}}': perSecond('code', 'airlock_requests_refused_total'),
      }),
      lines('Dialling out', '1: connected to the platform; and tries that failed in a row.', 'short', {
        'connected, {{instance}}': of('airlock_dial_connected'),
        'failures, {{instance}}': of('airlock_dial_failures'),
      }),
    ],
  },
  {
    title: 'The root',
    panels: [
      lines('Plugins', 'Plugins, by the decision of the gate, and what is special of them.', 'short', {
        '{{status}}': `sum by (status) (${of('airlock_plugins')})`,
        held: `sum(${of('airlock_plugins_held')})`,
        disabled: `sum(${of('airlock_plugins_disabled')})`,
        drifted: `sum(${of('airlock_plugins_drifted')})`,
        snapshots: `sum(${of('airlock_snapshots')})`,
      }),
      lines(
        'Restarts',
        'Plugins that wait for a restart; of these, those to which one was promised; and failed commands.',
        'short',
        {
          'pending, {{instance}}': of('airlock_plugins_pending'),
          'promised, {{instance}}': of('airlock_plugins_promised'),
          'restart command failed, {{instance}}': of('airlock_restart_command_failed'),
        },
      ),
      {
        title: 'Watch mode',
        help: 'How edits by hand are noticed.',
        kind: 'state-timeline',
        unit: 'short',
        queries: [{ expr: `${of('airlock_watch_mode')} == 1`, legend: '{{instance}}: {{mode}}' }],
      },
      lines('Free space', 'Bytes that the agent can still write.', 'bytes', {
        '{{instance}}': of('airlock_root_free_bytes'),
      }),
      lines('Looks at the disk', 'How old the figures about the disk are, and how long a look takes.', 's', {
        'age, {{instance}}': of('airlock_look_age_seconds'),
        'duration, {{instance}}': of('airlock_look_duration_seconds'),
      }),
      lines('Sweeps in an hour', 'Sweeps that have ended, and plugins that they could not sweep.', 'short', {
        'sweeps, {{instance}}': `increase(${of('airlock_sweeps_total')}[1h])`,
        'failures, {{instance}}': `increase(${of('airlock_sweep_failures_total')}[1h])`,
      }),
      lines('Shutting down', '1: the agent is shutting down.', 'short', {
        '{{instance}}': of('airlock_draining'),
      }),
    ],
  },
];

const SOURCE = { type: 'prometheus', uid: '${datasource}' };

/** A variable of the dashboard: the values of a label. */
const variable = (name: string, query: string): object => ({
  name,
  type: 'query',
  datasource: SOURCE,
  query: { query, refId: name },
  definition: query,
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  current: { text: 'All', value: '$__all' },
});

/** What Grafana calls a panel. */
const panelOf = ({ title, help, kind, unit, queries, red }: Panel): object => ({
  title,
  description: help,
  type: kind,
  datasource: SOURCE,
  fieldConfig: {
    defaults: {
      unit,
      ...(kind === 'timeseries' ? { min: 0 } : {}),
      thresholds: {
        mode: 'absolute',
        steps: [
          { color: 'green', value: null },
          ...(red === undefined ? [] : [{ color: 'red', value: red }]),
        ],
      },
    },
    overrides: [],
  },
  options: kind === 'stat' ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value' } : {},
  targets: queries.map(({ expr, legend }, i) => ({
    refId: String.fromCodePoint(65 + i),
    datasource: SOURCE,
    expr,
    legendFormat: legend,
  })),
});

/** The dashboard, with rows of panels below each other. */
export function dashboard(): object {
  let y = 0;
  const placed = ROWS.flatMap(({ title, panels }) => {
    const head = { type: 'row', title, collapsed: false, panels: [], gridPos: { x: 0, y, w: COLUMNS, h: 1 } };
    y += 1;
    const small = panels.every(({ kind }) => kind === 'stat');
    const [w, h] = small ? [COLUMNS / 8, 4] : [COLUMNS / 3, 8];
    const across = COLUMNS / w;
    const body = panels.map((panel, i) => ({
      ...panelOf(panel),
      gridPos: { x: (i % across) * w, y: y + Math.floor(i / across) * h, w, h },
    }));
    y += Math.ceil(panels.length / across) * h;
    return [head, ...body];
  });
  return {
    title: 'Airlock agents',
    uid: 'airlock-agents',
    tags: ['airlock'],
    schemaVersion: 39,
    editable: true,
    time: { from: 'now-6h', to: 'now' },
    refresh: '30s',
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        variable('job', 'label_values(airlock_info, job)'),
        variable('instance', 'label_values(airlock_info{job=~"$job"}, instance)'),
      ],
    },
    panels: placed.map((panel, i) => ({ id: i + 1, ...panel })),
  };
}
