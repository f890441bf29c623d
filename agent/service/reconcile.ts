/** Compares the declared plugins with those that are live, and, with `apply`, makes it so. */
import { type Fault, type FaultData, toFault } from '../../shared/api/fault.ts';
import type { ReconcileParams, Result } from '../../shared/api/methods.ts';
import type { Adopted, Installed } from '../../shared/api/plugin.ts';
import type { Reconciled } from '../../shared/api/reconcile.ts';
import { type Declared, digestsOf, isPullable } from '../../shared/format/lock-file.ts';
import { operationIdOf } from '../../shared/format/name.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import type { WorkerClient } from '../worker/client.ts';

/** A change of one plugin, with an operation id of its own. */
type Asked = { operationId: string; plugin: string; tree?: string };

export type ReconcileDependencies = {
  worker: Pick<WorkerClient, 'call'>;
  /** Marks what is live, unless its files are not as declared. */
  adopt: (asked: Asked) => Promise<Pick<Adopted, 'status'>>;
  /** Fetches a bundle and installs it. */
  pull: (
    asked: Asked & { url: string; bundle?: { sha256: string }; restart?: boolean },
  ) => Promise<Installed>;
};

/** So many plugins are changed at once. */
const AT_ONCE = 4;

/**
 * A plugin that fails does not stop the others. What has to be delivered from a URL is pulled. All other plugins are answered
 * as `wanted`, and the client pushes them. The list in the result is whole.
 *
 * @throws Fault INVALID_PARAMS; DRAINING while the agent shuts down: then the caller asks again.
 */
export async function reconcile(
  options: ReconcileDependencies,
  params: ReconcileParams,
): Promise<Result<'reconcile'>> {
  const { declared, mode, repair = false } = params;
  const found = await options.worker.call('root.compare', { declared, repair });
  if (mode === 'plan') {
    return { plugins: { items: found, total: found.length } };
  }
  const lines = new Map(declared.map((one) => [one.name, one]));
  const limit = new Semaphore(AT_ONCE);
  const work = found.map(async (row) => {
    const one = lines.get(row.name);
    return row.action === 'none' || one === undefined
      ? row
      : limit.run(() => applyOne(options, params, row, one));
  });
  const ends = await Promise.allSettled(work);
  const items = ends.map((end) => {
    if (end.status === 'rejected') throw end.reason;
    return end.value;
  });
  return { plugins: { items, total: items.length } };
}

async function applyOne(
  { adopt, pull }: ReconcileDependencies,
  { operationId = '', restart }: ReconcileParams,
  row: Reconciled,
  one: Declared,
): Promise<Reconciled> {
  const { name: plugin, tree, source } = one;
  const asked = (what: string): Asked => ({
    operationId: operationIdOf(operationId, what, plugin),
    plugin,
    ...(tree === undefined ? {} : { tree }),
  });
  let { detail } = row;
  if (row.action === 'adopt') {
    try {
      const { status } = await adopt(asked('adopt'));
      return { ...row, fate: status === 'present' ? status : 'adopted' };
    } catch (error) {
      detail = `it is not adopted: ${unlessDraining(error, `Adopting "${plugin}"`).message}`;
    }
  }
  const said = { ...row, ...(detail === undefined ? {} : { detail }) };
  if (!isPullable(source)) {
    return { ...said, fate: 'wanted' };
  }
  try {
    const installed = await pull({
      ...asked('pull'),
      url: source,
      ...digestsOf(one),
      ...(restart === undefined ? {} : { restart }),
    });
    const { kind, action, restarting } = installed.reload;
    const fate = installed.status === 'present' ? 'present' : 'installed';
    return { ...said, fate, reload: { kind, action, restarting } };
  } catch (error) {
    return { ...said, fate: 'failed', error: briefly(unlessDraining(error, `Pulling "${plugin}"`)) };
  }
}

/** The most violations of one archive in an answer about many. */
const VIOLATIONS_MAX = 5;

function briefly(fault: Fault): FaultData {
  const { violations, ...data } = fault.toData();
  return violations === undefined ? data : { ...data, violations: violations.slice(0, VIOLATIONS_MAX) };
}

/** The fault of one plugin. An agent that shuts down is asked again as a whole. */
function unlessDraining(error: unknown, doing: string): Fault {
  const fault = toFault(error, doing);
  if (fault.code === 'DRAINING') throw fault;
  return fault;
}
