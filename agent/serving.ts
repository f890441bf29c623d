/** What sessions can ask of an agent, from what its workshop does. */
import type { Hello } from '../shared/methods.ts';
import { PROTOCOL, WIRE } from '../shared/rpc.ts';
import type { RestartStatus, WatchStatus } from '../shared/upkeep.ts';
import type { AgentConfig } from './config.ts';
import { readable } from './install/unpack.ts';
import type { Desk } from './session/desk.ts';
import { statusOf } from './status.ts';
import type { Workshop } from './workshop.ts';

/** What sessions can ask for, from what the workshop does. */
export function deskOf(
  config: AgentConfig,
  workshop: Workshop,
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
  const { operations, looks, loads, changes, care } = workshop;
  const startedAt = new Date().toISOString();
  return {
    hello: () => helloOf(config, version, bootId),
    begin: (params, by, link) => operations.begin(params, by, link),
    commit: (operationId) => operations.commit(operationId),
    abort: (operationId) => operations.abort(operationId),
    list: () => looks.list(),
    get: (plugin) => looks.get(plugin),
    verify: (plugin) => looks.verify(plugin),
    classify: (params) => looks.classify(params),
    basis: async (plugin) => ({ ...(await looks.basis(plugin)), ignore: config.policy.ignore }),
    restarted: (params) => loads.restarted(params),
    rollback: (params, by) => changes.rollback(params, by),
    uninstall: (params, by) => changes.uninstall(params, by),
    recover: (plugin) => care.recover(plugin),
    sweep,
    status: async () => ({
      agent: version,
      workspace: config.workspace ?? null,
      bootId,
      startedAt,
      ...(await statusOf(workshop, config)),
      watch: watch(),
      restart: restart(),
    }),
    expectWork: () => workshop.warm(),
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
