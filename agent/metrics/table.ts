/**
 * The table of metrics. A new metric is a new row: the answer of `/metrics`, docs/metrics.md and the tests follow from it.
 * No label holds a name that a client chooses, so the number of series is bounded.
 */
import { installSteps } from '../../shared/api/events.ts';
import { faultCodes } from '../../shared/api/fault.ts';
import { watchStatusSchema } from '../../shared/api/maintenance.ts';
import { methods } from '../../shared/api/methods.ts';
import { reloadSchema } from '../../shared/rule/classify.ts';
import type { Facts, Traffic } from './facts.ts';
import {
  type MetricRow,
  type Sample,
  byKey,
  counter,
  gauge,
  histogram,
  one,
  single,
  states,
  total,
} from './row.ts';

/** The numbers of rules for archives are below this one. */
const RULES_END = 200;
const rules = Array.from({ length: RULES_END - 1 }, (_, i) => String(i + 1));
const answers = ['none', ...faultCodes];
const watchModes = watchStatusSchema.shape.mode.options;
const sides = ['client', 'platform'];
const pools = ['install', 'task', 'slow', 'export', 'look', 'check'];

const seconds = (millis: number): number => millis / 1000;

const traffic = ({ traffic: all }: Facts, of: keyof Traffic): Sample[] =>
  byKey('opened_by', { client: all.client[of], platform: all.platform[of] });

export const metrics: readonly MetricRow[] = [
  gauge({
    name: 'airlock_info',
    help: 'Always 1; its labels are the versions of the agent and of Node.',
    labels: { version: [], node: [] },
    read: ({ version, node }) => one({ version, node }),
  }),
  counter({
    name: 'airlock_installs_total',
    help: 'Installs that have ended, by result and by the code of the fault.',
    labels: { result: ['installed', 'present', 'failed'], code: answers },
    start: [
      { result: 'installed', code: 'none' },
      { result: 'present', code: 'none' },
      ...faultCodes.map((code) => ({ result: 'failed', code })),
    ],
    count: (heard) => {
      if (heard.type === 'install.complete') return one({ result: heard.data.status, code: 'none' });
      return heard.type === 'install.failed' ? one({ result: 'failed', code: heard.data.error.code }) : [];
    },
  }),
  histogram({
    name: 'airlock_install_step_duration_seconds',
    help: 'How long the steps of installs take. The step "receive" takes as long as the sender.',
    labels: { step: installSteps },
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    observe: (heard) =>
      heard.type === 'install.progress' && heard.data.millis !== undefined
        ? [{ labels: { step: heard.data.step }, value: seconds(heard.data.millis) }]
        : [],
  }),
  counter({
    name: 'airlock_bundle_bytes_total',
    help: 'Bytes of the bundles that were received to their end: pushed, pulled or of the image.',
    count: (heard) =>
      heard.type === 'install.progress' && heard.data.step === 'receive' && heard.data.millis !== undefined
        ? single(heard.data.received)
        : [],
  }),
  counter({
    name: 'airlock_staged_bytes_total',
    help: 'Bytes of the files that installs have staged and checked.',
    count: (heard) => (heard.type === 'install.staged' ? single(heard.data.bytes) : []),
  }),
  counter({
    name: 'airlock_staged_files_total',
    help: 'Files that installs have staged and checked.',
    count: (heard) => (heard.type === 'install.staged' ? single(heard.data.files) : []),
  }),
  counter({
    name: 'airlock_refusals_total',
    help: 'Archives that were refused, by the number of the rule; an archive counts once for each rule that it breaks.',
    labels: { rule: rules },
    start: [],
    count: (heard) =>
      heard.type === 'install.failed'
        ? [...new Set(heard.data.error.violations?.map(({ rule }) => String(rule)))].flatMap((rule) =>
            one({ rule }),
          )
        : [],
  }),
  counter({
    name: 'airlock_changes_total',
    help: 'Other changes of plugins that were made.',
    labels: { change: ['rollback', 'uninstall', 'adopt'] },
    count: ({ type }) => {
      if (type === 'install.rolled-back') return one({ change: 'rollback' });
      if (type === 'plugin.removed') return one({ change: 'uninstall' });
      return type === 'plugin.adopted' ? one({ change: 'adopt' }) : [];
    },
  }),
  counter({
    name: 'airlock_verdicts_total',
    help: 'Changes of live plugins, by what they mean for the runtime.',
    labels: { verdict: reloadSchema.shape.kind.options },
    count: (heard) => (heard.type === 'plugin.changed' ? one({ verdict: heard.data.kind }) : []),
  }),
  counter({
    name: 'airlock_requests_total',
    help: 'Requests of sessions that were answered, by method and by the code of the fault.',
    labels: { method: Object.keys(methods), code: answers },
    start: [],
    count: (heard) => (heard.type === 'request.answered' ? one(heard.data) : []),
  }),
  gauge({
    name: 'airlock_operations',
    help: 'Changes of plugins and uploads that are under way.',
    read: ({ operations }) => single(operations),
  }),
  gauge({
    name: 'airlock_lanes_waiting',
    help: 'Operations that wait for an earlier operation on the same plugin.',
    read: ({ lanesWaiting }) => single(lanesWaiting),
  }),
  gauge({
    name: 'airlock_threads_busy',
    help: 'Tasks that have a thread, by pool.',
    labels: { pool: pools },
    read: ({ threads }) =>
      Object.entries(threads).map(([pool, { busy }]) => ({ labels: { pool }, value: busy })),
  }),
  gauge({
    name: 'airlock_threads_waiting',
    help: 'Tasks that wait for a thread, by pool.',
    labels: { pool: pools },
    read: ({ threads }) =>
      Object.entries(threads).map(([pool, { waiting }]) => ({ labels: { pool }, value: waiting })),
  }),
  gauge({
    name: 'airlock_connections',
    help: 'Open connections, by the side that opened them; "platform": the agent dials out to it.',
    labels: { opened_by: sides },
    read: (facts) => traffic(facts, 'open'),
  }),
  total({
    name: 'airlock_connections_opened_total',
    help: 'Connections that were opened, by side.',
    labels: { opened_by: sides },
    read: (facts) => traffic(facts, 'opened'),
  }),
  total({
    name: 'airlock_received_bytes_total',
    help: 'Bytes of the messages that came over connections.',
    labels: { opened_by: sides },
    read: (facts) => traffic(facts, 'receivedBytes'),
  }),
  total({
    name: 'airlock_sent_bytes_total',
    help: 'Bytes of the messages that were sent over connections.',
    labels: { opened_by: sides },
    read: (facts) => traffic(facts, 'sentBytes'),
  }),
  counter({
    name: 'airlock_authentication_failures_total',
    help: 'Upgrades and pages whose token was missing or not known.',
    count: ({ type }) => (type === 'authentication.failed' ? one() : []),
  }),
  counter({
    name: 'airlock_tls_handshake_failures_total',
    help: 'TLS handshakes that have failed, such as those without the certificate that mutual TLS needs.',
    count: ({ type }) => (type === 'handshake.failed' ? one() : []),
  }),
  counter({
    name: 'airlock_requests_refused_total',
    help: 'Upgrades and pages that were refused before anything was done, by code.',
    labels: { code: ['INVALID_PARAMS', 'UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND', 'RATE_LIMITED'] },
    count: (heard) => (heard.type === 'request.refused' ? one({ code: heard.data.code }) : []),
  }),
  gauge({
    name: 'airlock_dial_connected',
    help: 'Whether the agent is connected to the platform to which it dials out.',
    read: ({ dial }) => single(dial === null ? undefined : dial.state === 'connected'),
  }),
  gauge({
    name: 'airlock_dial_failures',
    help: 'How many tries to connect to the platform have failed in a row.',
    read: ({ dial }) => single(dial?.failures),
  }),
  gauge({
    name: 'airlock_certificate_end_timestamp_seconds',
    help: 'When the TLS certificate of the agent ends.',
    read: ({ certificateEnds }) => single(certificateEnds),
  }),
  gauge({
    name: 'airlock_plugins',
    help: 'Plugins, by the decision of the gate.',
    labels: { status: ['admitted', 'refused'] },
    read: ({ root }) =>
      root === undefined
        ? []
        : byKey('status', { admitted: root.plugins.admitted, refused: root.plugins.refused }),
  }),
  gauge({
    name: 'airlock_plugins_drifted',
    help: 'Plugins with files that were edited in place.',
    read: ({ root }) => single(root?.plugins.drifted),
  }),
  gauge({
    name: 'airlock_plugins_pending',
    help: 'Plugins with a change that waits for a restart of the runtime.',
    read: ({ root }) => single(root?.plugins.pending),
  }),
  gauge({
    name: 'airlock_plugins_promised',
    help: 'Pending plugins whose restart was promised and has not ended well yet.',
    read: ({ root }) => single(root?.plugins.promised),
  }),
  gauge({
    name: 'airlock_plugins_held',
    help: 'Plugins of which changes are refused.',
    read: ({ root }) => single(root?.plugins.held),
  }),
  gauge({
    name: 'airlock_plugins_disabled',
    help: 'Plugins that the gate refuses because somebody has disabled them.',
    read: ({ root }) => single(root?.plugins.disabled),
  }),
  gauge({
    name: 'airlock_troubles',
    help: 'Failures that only an operator can repair.',
    read: ({ root }) => single(root?.troubles),
  }),
  gauge({
    name: 'airlock_snapshots',
    help: 'Displaced versions that are kept.',
    read: ({ root }) => single(root?.snapshots),
  }),
  gauge({
    name: 'airlock_unfinished',
    help: 'Plugins with a change that is under way or was interrupted.',
    read: ({ root }) => single(root?.unfinished),
  }),
  gauge({
    name: 'airlock_root_free_bytes',
    help: 'Bytes that the agent can still write to the file system of the root.',
    read: ({ root }) => single(root?.freeBytes),
  }),
  gauge({
    name: 'airlock_look_age_seconds',
    help: 'How old the figures about the disk are. They grow old if the disk does not answer.',
    read: ({ look }) => single(look?.ageSeconds),
  }),
  gauge({
    name: 'airlock_look_duration_seconds',
    help: 'How long the last look at the disk took.',
    read: ({ look }) => single(look?.tookSeconds),
  }),
  gauge({
    name: 'airlock_watch_mode',
    help: 'How edits by hand are noticed: 1 for the current mode.',
    labels: { mode: watchModes },
    read: ({ watch }) => states('mode', watchModes, watch.mode),
  }),
  gauge({
    name: 'airlock_restart_command_failed',
    help: 'Whether the last run of the restart command ended badly. Absent until it has ended once.',
    read: ({ restart }) => single(restart?.last ? !restart.last.ok : undefined),
  }),
  counter({
    name: 'airlock_sweeps_total',
    help: 'Sweeps that have ended.',
    count: ({ type }) => (type === 'sweep.done' ? one() : []),
  }),
  counter({
    name: 'airlock_sweep_failures_total',
    help: 'Plugins that a sweep could not sweep.',
    count: (heard) => (heard.type === 'sweep.done' ? single(heard.data.failed) : []),
  }),
  gauge({
    name: 'airlock_draining',
    help: 'Whether the agent is shutting down.',
    read: ({ draining }) => single(draining),
  }),
  histogram({
    name: 'airlock_event_loop_delay_seconds',
    help: 'How late the event loop of the agent comes to its work. It is tried four times a second.',
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    observe: (heard) => (heard.type === 'loop.delayed' ? single(heard.data.seconds) : []),
  }),
  total({
    name: 'process_cpu_seconds_total',
    help: 'Processor time of the agent, threads included.',
    read: ({ cpuSeconds }) => single(cpuSeconds),
  }),
  gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the agent.',
    read: ({ residentBytes }) => single(residentBytes),
  }),
  gauge({
    name: 'process_start_time_seconds',
    help: 'When the process of the agent started.',
    read: ({ startedAt }) => single(startedAt),
  }),
];
