/** Prometheus's own tool, where this machine has it. */
import { spawnSync } from 'node:child_process';

import type { TestContext } from 'vitest';

/**
 * Runs promtool. Without one the test is skipped, unless `AIRLOCK_REQUIRE_PROMTOOL=1` says that this machine has it.
 *
 * @returns its exit code and all that it says.
 */
export function promtool(
  ctx: Pick<TestContext, 'skip'>,
  args: readonly string[],
  input = '',
): { code: number | null; said: string } {
  const { error, status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', input });
  if (error !== undefined) {
    if (process.env['AIRLOCK_REQUIRE_PROMTOOL'] === '1') throw error;
    ctx.skip('this machine has no promtool');
  }
  return { code: status, said: stdout + stderr };
}
