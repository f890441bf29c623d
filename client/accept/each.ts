/** Calls many agents, a few at a time. */
import { type Fault, toFault } from '../../shared/api/fault.ts';
import { cancelled } from '../abort.ts';
import { isAborted } from '../retry.ts';

/** What came of one agent. */
export type AgentResult<T> = { workspace: string } & ({ ok: true; value: T } | { ok: false; fault: Fault });

export type AgentRequestsOptions<T> = {
  /** How many at once; 32 by default. */
  concurrency?: number | undefined;
  /** Those whose turn has not come are not tried any more. */
  signal?: AbortSignal | undefined;
  /** Called as soon as it is known what came of an agent. */
  onResult?: ((result: AgentResult<T>) => void) | undefined;
};

const CONCURRENCY = 32;

/** Runs a task for each workspace once. @returns the results, in the order of the workspaces. Never rejects for a task. */
export async function forEach<T>(
  workspaces: Iterable<string>,
  task: (workspace: string) => Promise<T>,
  { concurrency = CONCURRENCY, signal, onResult }: AgentRequestsOptions<T> = {},
): Promise<AgentResult<T>[]> {
  const all = [...new Set(workspaces)];
  const results = new Map<string, AgentResult<T>>();
  const queue = all.values();
  const one = async (workspace: string): Promise<AgentResult<T>> => {
    const what = `The call to workspace "${workspace}"`;
    try {
      if (isAborted(signal)) throw cancelled(what, 'no');
      return { workspace, ok: true, value: await task(workspace) };
    } catch (error) {
      return { workspace, ok: false, fault: toFault(error, what) };
    }
  };
  const work = async (): Promise<void> => {
    for (const workspace of queue) {
      const result = await one(workspace);
      results.set(workspace, result);
      onResult?.(result);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency >= 1 ? concurrency : 1, all.length) }, work));
  return all.flatMap((workspace) => results.get(workspace) ?? []);
}
