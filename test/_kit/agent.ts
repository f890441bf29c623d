/** An agent in the process of the test: real sockets on the loopback, real threads, a root of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { inject, onTestFinished } from 'vitest';

import { type Agent, startAgent } from '../../agent/agent.ts';
import { readAgentConfig } from '../../agent/config.ts';
import { createLog } from '../../agent/log.ts';
import type { Timeouts } from '../../agent/service/upload.ts';
import { type Layout, layoutOf } from '../../shared/format/layout.ts';

/** A token that exists nowhere else. */
export const TOKEN = 'test-token-of-more-than-thirty-two-characters';

export type AgentOptions = {
  /** Another agent's root, to go on with it. */
  root?: string;
  env?: Record<string, string>;
  /** Another token than {@link TOKEN}. */
  token?: string;
  timeouts?: Partial<Timeouts>;
  /** Who ends it; without it, the test does. */
  whenDone?: (end: () => Promise<void>) => void;
};

export type TestAgent = Agent & { layout: Layout };

/** A directory of its own for a test, gone after it. */
export async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'airlock-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts an agent that ends with the test, if the test does not close it itself. */
export async function startTestAgent(options: AgentOptions = {}): Promise<TestAgent> {
  const root = options.root ?? join(await scratch(), 'plugins');
  const env = {
    AIRLOCK_ROOT: root,
    AIRLOCK_LISTEN: '127.0.0.1:0',
    AIRLOCK_TOKEN: options.token ?? TOKEN,
    ...options.env,
  };
  const config = readAgentConfig({}, env);
  const timeouts = { ...config.timeouts, ...options.timeouts };
  const workerFile = new URL(inject('workerFile'));
  const agent = await startAgent({ ...config, timeouts }, workerFile, '0.0.0-test', createLog('silent'));
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= agent.close());
  (options.whenDone ?? onTestFinished)(close);
  return { ...agent, close, layout: layoutOf(root) };
}
