/** What sessions can ask of an agent, from what its workshop does. */
import type { Hello } from '../shared/api/methods.ts';
import { PROTOCOL, WIRE } from '../shared/api/rpc.ts';
import type { RestartStatus, WatchStatus } from '../shared/api/maintenance.ts';
import type { AgentConfig } from './config.ts';
import { readable } from './archive/decompress.ts';
import type { Desk } from './transport/desk.ts';
import { statusOf } from './service/status.ts';
import type { Service } from './service/service.ts';

/** What sessions can ask for, from what the workshop does. */
export function deskOf(
  config: AgentConfig,
  service: Service,
  {
    version,
    bootId,
    sweep,
    watch,
    restart,
  }: Pick<Desk, 'sweep'> & {
    version: string;
    bootId: string;
    watch: () => WatchStatus;
    restart: () => RestartStatus | null;
  },
): Desk {
  const { operations, queries, loads, changes, maintenance } = service;
  const startedAt = new Date().toISOString();
  return {
    hello: () => helloOf(config, version, bootId),
    begin: (params, by, link) => operations.begin(params, by, link),
    commit: (operationId) => operations.commit(operationId),
    abort: (operationId) => operations.abort(operationId),
    list: () => queries.list(),
    get: (plugin) => queries.get(plugin),
    verify: (plugin) => queries.verify(plugin),
    classify: (params) => queries.classify(params),
    basis: async (plugin) => ({ ...(await queries.basis(plugin)), ignore: config.policy.ignore }),
    restarted: (params) => loads.restarted(params),
    rollback: (params, by) => changes.rollback(params, by),
    uninstall: (params, by) => changes.uninstall(params, by),
    recover: (plugin) => maintenance.recover(plugin),
    sweep,
    status: async () => ({
      agent: version,
      workspace: config.workspace ?? null,
      bootId,
      startedAt,
      ...(await statusOf(service, config)),
      watch: watch(),
      restart: restart(),
    }),
    expectWork: () => service.warm(),
  };
}

function helloOf({ workspace, runtime, policy }: AgentConfig, version: string, bootId: string): Hello {
  const { frameBytes, windowBytes, requestsInFlight, streamsInFlight } = WIRE;
  return {
    agent: version,
    workspace: workspace ?? null,
    runtime: runtime ?? null,
    bootId,
    protocol: PROTOCOL,
    capabilities: [...readable(), 'resume'],
    limits: {
      frameBytes,
      windowBytes,
      requestsInFlight,
      streamsInFlight,
      packedBytes: policy.maxPacked,
      unpackedBytes: policy.maxUnpacked,
      entries: policy.maxEntries,
    },
  };
}
