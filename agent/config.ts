/** The agent's configuration, from the one table of settings. */
import { resolve } from 'node:path';

import { type Settings, TOKEN_VARIABLE, readSettings } from '../shared/api/settings.ts';
import { Fault } from '../shared/api/fault.ts';
import type { Durability, InstallPolicy } from './store/context.ts';
import type { Patience } from './service/upload.ts';

/** What it takes to work on a root. */
export type WorkConfig = {
  root: string;
  /** Where runtimes say what they have loaded, if not below the root. */
  loadedDir: string | undefined;
  policy: InstallPolicy;
  durability: Durability;
  patience: Patience;
};

/** What an agent is started with; all of it is checked. */
export type AgentConfig = WorkConfig & {
  listen: { host: string; port: number } | { path: string };
  tls: { cert: string; key: string; clientCa: string | undefined } | undefined;
  allowOrigin: string[];
  allowHost: string[];
  token: string | undefined;
  tokenFile: string | undefined;
  workspace: string | undefined;
  runtime: string | undefined;
  logLevel: string;
  /** Whether edits by hand are told, and how they are seen. */
  watch: 'on' | 'polling' | 'off';
  /** A directory with bundles that are installed at the start. */
  bootFrom: string | undefined;
  /** How the agent restarts the runtime after cold changes; undefined: who asks for a change does it. */
  restart: { command: string; timeout: number; env: Texts } | undefined;
};

/** The settings of all work on a root, by name: each has a flag and a variable. */
export const WORK_SETTINGS = [
  'root',
  'loadedDir',
  'runtime',
  'manifest',
  'ignore',
  'owner',
  'keep',
  'keepDays',
  'durability',
  'maxPacked',
  'maxUnpacked',
  'maxEntries',
  'maxDepth',
  'maxRatio',
  'stall',
  'resume',
  'deadline',
  'lock',
] as const;

/** The settings that the agent reads. */
export const AGENT_SETTINGS = [
  ...WORK_SETTINGS,
  'listen',
  'tlsCert',
  'tlsKey',
  'tlsClientCa',
  'allowOrigin',
  'allowHost',
  'tokenFile',
  'workspace',
  'bootFrom',
  'restartCommand',
  'restartTimeout',
  'watch',
  'logLevel',
] as const;

type Texts = Readonly<Record<string, string | undefined>>;

/** @throws Fault INVALID_PARAMS that names every bad value. */
export function readAgentConfig(flags: Texts, env: Texts): AgentConfig {
  const read = readSettings(AGENT_SETTINGS, flags, env);
  const { [TOKEN_VARIABLE]: token, ...others } = env;
  const { restartCommand: command, restartTimeout: timeout } = read;
  const work = workConfigOf(read);
  return {
    ...work,
    policy: { ...work.policy, restarts: command === undefined ? 'caller' : 'command' },
    restart: command === undefined ? undefined : { command, timeout, env: others },
    listen: read.listen,
    tls: tlsOf(read),
    allowOrigin: read.allowOrigin.map((origin) => origin.toLowerCase()),
    allowHost: read.allowHost,
    token,
    tokenFile: read.tokenFile,
    workspace: read.workspace,
    runtime: read.runtime,
    logLevel: read.logLevel,
    watch: read.watch,
    bootFrom: read.bootFrom === undefined ? undefined : resolve(read.bootFrom),
  };
}

function tlsOf(read: Settings<'listen' | 'tlsCert' | 'tlsKey' | 'tlsClientCa'>): AgentConfig['tls'] {
  const { listen, tlsCert: cert, tlsKey: key, tlsClientCa: clientCa } = read;
  if (cert === undefined && key === undefined && clientCa === undefined) {
    return undefined;
  }
  if (cert === undefined || key === undefined) {
    throw new Fault('INVALID_PARAMS', 'TLS needs both a certificate and its key', {
      hint: 'Set AIRLOCK_TLS_CERT and AIRLOCK_TLS_KEY',
    });
  }
  if ('path' in listen) {
    throw new Fault('INVALID_PARAMS', 'A Unix socket does not speak TLS', {
      hint: 'Leave out the settings of TLS, or listen on host:port',
    });
  }
  return { cert, key, clientCa };
}

/** @throws Fault INVALID_PARAMS that names every bad value. */
export const readWorkConfig = (flags: Texts, env: Texts): WorkConfig =>
  workConfigOf(readSettings(WORK_SETTINGS, flags, env));

function workConfigOf(read: Settings<(typeof WORK_SETTINGS)[number]>): WorkConfig {
  const { stall, resume, deadline, lock } = read;
  return {
    root: resolve(read.root),
    loadedDir: read.loadedDir === undefined ? undefined : resolve(read.loadedDir),
    policy: policyOf(read),
    durability: read.durability,
    patience: { stall, resume, deadline, lock },
  };
}

type PolicySettings = Settings<
  | 'manifest'
  | 'runtime'
  | 'ignore'
  | 'owner'
  | 'keep'
  | 'keepDays'
  | 'maxPacked'
  | 'maxUnpacked'
  | 'maxEntries'
  | 'maxDepth'
  | 'maxRatio'
>;

function policyOf(read: PolicySettings): InstallPolicy {
  const { manifest, runtime, ignore, owner, keep, keepDays } = read;
  const { maxPacked, maxUnpacked, maxEntries, maxDepth, maxRatio } = read;
  const keepMillis = keepDays * 24 * 60 * 60 * 1000;
  return {
    manifest,
    runtime,
    ignore,
    owner,
    keep,
    keepMillis,
    restarts: 'caller',
    maxPacked,
    maxUnpacked,
    maxEntries,
    maxDepth,
    maxRatio,
  };
}
