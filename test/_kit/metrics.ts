/** Reads the metrics of an agent as a scraper does. */
import type { Facts } from '../../agent/metrics/facts.ts';
import { type HttpAnswer, ask } from './wire.ts';

/** The facts of an agent at rest. */
export const QUIET: Facts = {
  version: '1.2.3',
  node: '20.19.0',
  startedAt: 1_700_000_000,
  cpuSeconds: 1.5,
  residentBytes: 1000,
  draining: false,
  watch: { mode: 'on', notices: [] },
  dial: null,
  restart: null,
  traffic: {
    client: { open: 1, opened: 2, receivedBytes: 3, sentBytes: 4 },
    platform: { open: 0, opened: 0, receivedBytes: 0, sentBytes: 0 },
  },
  certificateEnds: undefined,
  operations: 0,
  lanesWaiting: 0,
  threads: { install: { busy: 0, waiting: 0 } },
  root: undefined,
  look: undefined,
};

const SAMPLE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

/** Series, such as `airlock_installs_total{code="none",result="installed"}` with its labels sorted → value. */
export function readMetrics(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
      if (name === '') throw new Error(`This is no sample: ${line}`);
      const pairs = [...labels.matchAll(LABEL)].map(([pair]) => pair).toSorted();
      return [pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`, Number(value)];
    }),
  );
}

type Address = { host: string; port: number };

/** A page of an agent. */
export const page = (
  agent: Address,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<HttpAnswer> => ask(agent, { path, headers, method, upgrade: false });

/** The metrics of an agent on the loopback. */
export async function scrape(agent: Address): Promise<Map<string, number>> {
  const { status, body } = await page(agent, '/metrics');
  if (status !== 200) throw new Error(`${status}: ${body}`);
  return readMetrics(body);
}
