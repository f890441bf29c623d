/** The agent as a process: from flags and environment to an exit code. */
import { startAgent } from './agent.ts';
import { readAgentConfig } from './config.ts';
import { createLog } from './log.ts';

export type { Booted } from './service/boot-install.ts';
export { validateBundle } from './change/validate-bundle.ts';
export { type Local, openLocal } from './local.ts';

export type RunOptions = {
  /** By setting name, as text. */
  flags: Readonly<Record<string, string | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  version: string;
  /** The module that runs as engine thread. */
  workerFile: URL;
};

/**
 * Runs an agent until SIGTERM or SIGINT.
 *
 * @returns the exit code: 0 after an orderly end.
 * @throws Fault INVALID_PARAMS, READ_ONLY, NO_SPACE, INTERNAL if it cannot start.
 */
export async function runAgent({ flags, env, version, workerFile }: RunOptions): Promise<number> {
  const config = readAgentConfig(flags, env);
  // Set here because threads cannot set it: files get exactly the modes that the agent passes.
  process.umask(0o022);
  const log = createLog(config.logLevel);
  const agent = await startAgent(config, workerFile, version, log);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info({ signal }, 'signal');
        resolve();
      });
    }
  });
  await agent.close();
  return 0;
}
