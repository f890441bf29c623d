/** What others can see of a running agent: its metrics, whether it is ready, and its page. */
import type { EventBody } from '../shared/api/events.ts';
import { toFault } from '../shared/api/fault.ts';
import type { Readiness, Status } from '../shared/api/maintenance.ts';
import { steadyClock } from '../shared/clock.ts';
import type { Facts, Traffic } from './metrics/facts.ts';
import { watchLoopDelay } from './metrics/loop-delay.ts';
import { METRICS_TYPE, Metrics } from './metrics/metrics.ts';
import { Activity } from './page/activity.ts';
import { PAGE_HEADERS, PAGE_TYPE, pageOf } from './page/page.ts';
import { readinessOf } from './service/readiness.ts';
import type { Service } from './service/service.ts';
import type { Probes } from './transport/pages.ts';

/** The parts that are looked at. */
export type ObservationOptions = {
  version: string;
  root: string;
  service: Pick<Service, 'usage' | 'measure' | 'health' | 'running' | 'overview'>;
  about: () => Partial<Status>;
  draining: () => boolean;
  certificateEnds: () => number | undefined;
};

/** What an agent shows. */
export type Observation = {
  metrics: Metrics;
  traffic: Facts['traffic'];
  /** Hears every event of the agent. */
  hear(event: EventBody): void;
  /** The answers of the pages. */
  probes(options: ObservationOptions): Probes;
  /** What the last recovery or sweep has left undone; undefined: nothing. */
  unrecovered(what: string | undefined): void;
  /** Tries from now on how late the event loop comes. @returns how to stop. */
  watchLoop(): () => void;
};

const noTraffic = (): Traffic => ({ open: 0, opened: 0, receivedBytes: 0, sentBytes: 0 });

/** Begins to count. */
export function createObservation(): Observation {
  const metrics = new Metrics();
  const activity = new Activity(Date.now);
  const traffic = { client: noTraffic(), platform: noTraffic() };
  let unrecovered: string | undefined;
  return {
    metrics,
    traffic,
    hear: (event) => {
      metrics.hear(event);
      activity.hear(event);
    },
    unrecovered: (what) => {
      unrecovered = what;
    },
    watchLoop: () =>
      watchLoopDelay(steadyClock, (millis) =>
        metrics.hear({ type: 'loop.delayed', data: { seconds: millis / 1000 } }),
      ),
    probes: (options) => {
      const metricsText = oneAtATime(async () => {
        const measured = await options.service.measure();
        return metrics.text({ ...factsOf(options), traffic, ...lookOf(measured) });
      });
      const ready = async (): Promise<Readiness> =>
        readinessOf({
          ...options.about(),
          draining: options.draining(),
          root: await options.service.health(),
          unrecovered,
        });
      const pageText = oneAtATime(async () => {
        const { about, root, service } = options;
        const [readiness, seen] = await Promise.all([ready(), service.overview()]);
        const { value, error, age = 0 } = seen;
        const why = error === undefined ? undefined : toFault(error, 'Listing the plugins').message;
        const overview = { value, why, age };
        const now = new Date();
        return pageOf({
          now,
          about: about(),
          root,
          running: service.running(),
          overview,
          readiness,
          activity,
        });
      });
      return {
        metrics: async () => ({ type: METRICS_TYPE, text: await metricsText() }),
        ready,
        page: async () => ({ type: PAGE_TYPE, text: await pageText(), headers: PAGE_HEADERS }),
      };
    },
  };
}

/** Who asks while a text is made gets the same one. */
function oneAtATime(make: () => Promise<string>): () => Promise<string> {
  let making: Promise<string> | undefined;
  return () =>
    (making ??= make().finally(() => {
      making = undefined;
    }));
}

/** When this process started (seconds since the epoch). Computed once, because both clocks drift apart. */
const STARTED_AT = Date.now() / 1000 - process.uptime();

function factsOf({
  version,
  service,
  about,
  draining,
  certificateEnds,
}: ObservationOptions): Omit<Facts, 'traffic' | 'root' | 'look'> {
  const { watch = { mode: 'off', notices: [] }, dial = null, restart = null } = about();
  const { user, system } = process.cpuUsage();
  return {
    version,
    node: process.versions.node,
    startedAt: STARTED_AT,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    draining: draining(),
    watch,
    dial,
    restart,
    certificateEnds: certificateEnds(),
    ...service.usage(),
  };
}

function lookOf({ value, age, took }: Awaited<ReturnType<Service['measure']>>): Pick<Facts, 'root' | 'look'> {
  return {
    root: value,
    look:
      age === undefined || took === undefined
        ? undefined
        : { ageSeconds: age / 1000, tookSeconds: took / 1000 },
  };
}
