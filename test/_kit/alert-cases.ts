/** For each alert: figures with which it fires, and figures with which it does not. */

/** Series → its values, one a minute, in the notation of promtool. */
type Series = Readonly<Record<string, string>>;

/** Figures of one agent at a time (minutes). */
export type Figures = { series: Series; at: number };

/** What an alert makes of figures. */
export type AlertCase = {
  fires: Figures & { summary: string; labels?: Readonly<Record<string, string>> };
  quiet: readonly Figures[];
};

const MIB = 1024 * 1024;
const DAY = 86_400;

/** By name of the alert. Each series gets the labels `job` and `instance`; the instance is "a". */
export const alertCases: Readonly<Record<string, AlertCase>> = {
  AirlockAgentDown: {
    fires: { series: { up: '0x10' }, at: 6, summary: 'The agent a is not scraped' },
    quiet: [
      { series: { up: '1x10' }, at: 6 },
      { series: { up: '0 0 0 1 1 1 1 0 0 0' }, at: 9 },
    ],
  },
  AirlockAgentRestarts: {
    fires: {
      series: { process_start_time_seconds: '0 60 120 180 240x30', airlock_info: '1x40' },
      at: 10,
      summary: 'The agent a was started 4 times in half an hour',
    },
    quiet: [
      { series: { process_start_time_seconds: '0 60 120x30', airlock_info: '1x40' }, at: 10 },
      // Another program with the same metric.
      { series: { process_start_time_seconds: '0 60 120 180 240x30' }, at: 10 },
    ],
  },
  AirlockTrouble: {
    fires: {
      series: { airlock_troubles: '1x10' },
      at: 6,
      summary: 'Failures of a that only an operator can repair: 1',
    },
    quiet: [
      { series: { airlock_troubles: '0x10' }, at: 6 },
      { series: { airlock_troubles: '1 1 1 0 0 1 1' }, at: 6 },
    ],
  },
  AirlockInstallsFail: {
    fires: {
      series: { 'airlock_installs_total{result="failed",code="NO_SPACE"}': '0x4 1x10' },
      at: 8,
      labels: { code: 'NO_SPACE' },
      summary: 'Installs in a fail with NO_SPACE',
    },
    quiet: [
      { series: { 'airlock_installs_total{result="failed",code="ARCHIVE_PATH"}': '0x4 1x10' }, at: 8 },
      { series: { 'airlock_installs_total{result="installed",code="none"}': '0+1x10' }, at: 8 },
      { series: { 'airlock_installs_total{result="failed",code="NO_SPACE"}': '7x20' }, at: 18 },
    ],
  },
  AirlockInstallsRefused: {
    fires: {
      series: { 'airlock_installs_total{result="failed",code="ARCHIVE_PATH"}': '0+1x60' },
      at: 60,
      summary: 'a has refused 60 bundles in an hour',
    },
    quiet: [
      { series: { 'airlock_installs_total{result="failed",code="ARCHIVE_PATH"}': '0 1 2 3x60' }, at: 60 },
      { series: { 'airlock_installs_total{result="failed",code="HELD"}': '0+1x60' }, at: 60 },
    ],
  },
  AirlockRootUnknown: {
    fires: {
      series: {
        airlock_info: '1x10',
        airlock_look_age_seconds: '400x10',
        airlock_look_duration_seconds: '1x10',
      },
      at: 6,
      summary: 'The disk of a does not answer, or cannot be read',
    },
    quiet: [
      {
        series: {
          airlock_info: '1x10',
          airlock_root_free_bytes: '1x10',
          airlock_look_age_seconds: '400x10',
          // A look takes long, so the agent looks seldom.
          airlock_look_duration_seconds: '20x10',
        },
        at: 6,
      },
      { series: { airlock_info: '1x10', airlock_root_free_bytes: '_ _ _ _ 1x6' }, at: 8 },
    ],
  },
  AirlockDiskFull: {
    fires: {
      series: { airlock_root_free_bytes: `${100 * MIB}x15` },
      at: 11,
      summary: 'a has 100MiB left for plugins',
    },
    quiet: [{ series: { airlock_root_free_bytes: `${300 * MIB}x15` }, at: 11 }],
  },
  AirlockUnfinished: {
    fires: {
      series: { airlock_unfinished: '2x70', airlock_operations: '0x70' },
      at: 61,
      summary: 'Plugins of a with a change that was interrupted an hour ago: 2',
    },
    quiet: [
      { series: { airlock_unfinished: '2x70', airlock_operations: '1x70' }, at: 61 },
      { series: { airlock_unfinished: '0x70', airlock_operations: '0x70' }, at: 61 },
    ],
  },
  AirlockPluginsRefused: {
    fires: {
      series: { 'airlock_plugins{status="refused"}': '3x20', airlock_plugins_disabled: '1x20' },
      at: 16,
      summary: 'Plugins of a that the gate refuses: 2',
    },
    quiet: [
      {
        series: {
          'airlock_plugins{status="admitted"}': '9x20',
          'airlock_plugins{status="refused"}': '1x20',
          airlock_plugins_disabled: '1x20',
        },
        at: 16,
      },
    ],
  },
  AirlockDrift: {
    fires: {
      series: { airlock_plugins_drifted: '3x70' },
      at: 61,
      summary: 'Plugins of a with files that were edited in place: 3',
    },
    quiet: [{ series: { airlock_plugins_drifted: '3x30 0x40' }, at: 61 }],
  },
  AirlockRestartFailed: {
    fires: {
      series: { airlock_restart_command_failed: '1x10', airlock_plugins_pending: '1x10' },
      at: 6,
      summary: 'The restart command of a has failed, and changes wait for a restart',
    },
    quiet: [
      { series: { airlock_restart_command_failed: '1x10', airlock_plugins_pending: '0x10' }, at: 6 },
      { series: { airlock_restart_command_failed: '0x10', airlock_plugins_pending: '1x10' }, at: 6 },
    ],
  },
  AirlockRestartPending: {
    fires: {
      series: { airlock_plugins_pending: '2x70' },
      at: 61,
      summary: 'Plugins of a that have waited for a restart for an hour: 2',
    },
    quiet: [{ series: { airlock_plugins_pending: '2x50 0 2x20' }, at: 61 }],
  },
  AirlockWatchFailed: {
    fires: {
      series: { 'airlock_watch_mode{mode="failed"}': '1x15' },
      at: 11,
      labels: { mode: 'failed' },
      summary: 'The watcher of a fails again and again, so edits by hand are not reported',
    },
    quiet: [
      {
        series: { 'airlock_watch_mode{mode="failed"}': '0x15', 'airlock_watch_mode{mode="off"}': '1x15' },
        at: 11,
      },
    ],
  },
  AirlockNotConnected: {
    fires: {
      series: { airlock_dial_connected: '0x15' },
      at: 11,
      summary: 'a is not connected to its platform',
    },
    quiet: [
      { series: { airlock_dial_connected: '1x15' }, at: 11 },
      // It does not dial out.
      { series: { airlock_info: '1x15' }, at: 11 },
    ],
  },
  AirlockUnknownTokens: {
    fires: {
      series: { airlock_authentication_failures_total: '0+3x15' },
      at: 10,
      summary: 'a was asked 30 times in ten minutes with a token that it does not know',
    },
    quiet: [{ series: { airlock_authentication_failures_total: '0+1x15' }, at: 10 }],
  },
  AirlockCertificateEnds: {
    fires: {
      series: { airlock_certificate_end_timestamp_seconds: `${3 * DAY}x5` },
      at: 0,
      summary: 'The TLS certificate of a ends in 3d 0h 0m 0s',
    },
    quiet: [{ series: { airlock_certificate_end_timestamp_seconds: `${30 * DAY}x5` }, at: 5 }],
  },
  AirlockQueue: {
    fires: {
      series: { 'airlock_threads_waiting{pool="install"}': '1x20' },
      at: 16,
      labels: { pool: 'install' },
      summary: 'Operations of a have waited without a break for a quarter of an hour',
    },
    quiet: [
      { series: { airlock_lanes_waiting: '1x7 0 1x20' }, at: 16 },
      { series: { airlock_lanes_waiting: '1x20' }, at: 10 },
    ],
  },
  AirlockSlow: {
    fires: {
      series: {
        'airlock_event_loop_delay_seconds_bucket{le="0.25"}': '0x40',
        'airlock_event_loop_delay_seconds_bucket{le="0.5"}': '0+240x40',
        'airlock_event_loop_delay_seconds_bucket{le="+Inf"}': '0+240x40',
      },
      at: 30,
      summary: 'The event loop of a comes 497.5ms late',
    },
    quiet: [
      {
        series: {
          'airlock_event_loop_delay_seconds_bucket{le="0.25"}': '0+240x40',
          'airlock_event_loop_delay_seconds_bucket{le="0.5"}': '0+240x40',
          'airlock_event_loop_delay_seconds_bucket{le="+Inf"}': '0+240x40',
        },
        at: 30,
      },
    ],
  },
  AirlockNoSweep: {
    fires: {
      series: { airlock_sweeps_total: '1x240', process_start_time_seconds: '0x240' },
      at: 190,
      summary: 'a does not sweep, or not all plugins',
    },
    quiet: [
      {
        series: {
          airlock_sweeps_total: '1x60 2x60 3x60 4x60',
          airlock_sweep_failures_total: '0x240',
          process_start_time_seconds: '0x240',
        },
        at: 190,
      },
      // It was started an hour ago.
      { series: { airlock_sweeps_total: '1x240', process_start_time_seconds: '7800x240' }, at: 190 },
    ],
  },
};
