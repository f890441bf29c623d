/** The agent's configuration, from the one table of settings. */
import { resolve } from 'node:path';

import { TOKEN_VARIABLE, readSettings } from '../shared/config.ts';
import type { InstallPolicy } from './install/ground.ts';
import type { Patience } from './operation/around.ts';

/** What an agent is started with; all of it is checked. */
export type AgentConfig = {
  root: string;
  listen: { host: string; port: number };
  token: string | undefined;
  tokenFile: string | undefined;
  workspace: string | undefined;
  runtime: string | undefined;
  logLevel: string;
  policy: InstallPolicy;
  patience: Patience;
};

/** The settings that the agent reads, by name: each has a flag and a variable. */
export const AGENT_SETTINGS = [
  'root',
  'listen',
  'tokenFile',
  'workspace',
  'runtime',
  'manifest',
  'ignore',
  'owner',
  'keep',
  'maxPacked',
  'maxUnpacked',
  'maxEntries',
  'maxDepth',
  'maxRatio',
  'stall',
  'resume',
  'deadline',
  'logLevel',
] as const;

type Texts = Readonly<Record<string, string | undefined>>;

/** @throws Fault INVALID_PARAMS that names every bad value. */
export function readAgentConfig(flags: Texts, env: Texts): AgentConfig {
  const read = readSettings(AGENT_SETTINGS, flags, env);
  const { manifest, runtime, ignore, owner, keep, maxPacked, maxUnpacked, maxEntries, maxDepth, maxRatio } =
    read;
  return {
    root: resolve(read.root),
    listen: read.listen,
    token: env[TOKEN_VARIABLE],
    tokenFile: read.tokenFile,
    workspace: read.workspace,
    runtime,
    logLevel: read.logLevel,
    policy: {
      manifest,
      runtime,
      ignore,
      owner,
      keep,
      maxPacked,
      maxUnpacked,
      maxEntries,
      maxDepth,
      maxRatio,
    },
    patience: { stall: read.stall, resume: read.resume, deadline: read.deadline },
  };
}
