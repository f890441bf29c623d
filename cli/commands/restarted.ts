/**
 * `airlock restarted`: reports the restart of a runtime that does not report by itself. The versions that were live then
 * count as loaded.
 */
import { Fault } from '../../shared/api/fault.ts';
import type { Restarted } from '../../shared/api/runtime.ts';
import type { Context } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { plural, safe } from '../render.ts';

export const command = methodCommand('runtime.restarted', rowOf('runtime.restarted', 'restarted'), {
  examples: [
    'airlock restarted --to ws://127.0.0.1:7423',
    'airlock restarted --at 2026-05-08T14:15:30Z --root /configs/plugins',
  ],
  params: ({ at, ...wanted }) => (typeof at === 'string' ? { ...wanted, at: momentOf(at) } : wanted),
  text: textOf,
});

/** With a zone, as `date -Is` writes it. A time without a zone depends on the place. */
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/;

/** @throws Fault INVALID_PARAMS */
function momentOf(text: string): string {
  const millis = MOMENT.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(millis)) {
    throw new Fault('INVALID_PARAMS', `--at is "${text}" but must be a time such as 2026-05-08T14:15:30Z`, {
      hint: 'Give date, time and zone, as "date -Is" writes them',
    });
  }
  return new Date(millis).toISOString();
}

function textOf({ loaded, pending }: Restarted, { output: { paint } }: Context): string {
  const more = (total: number, shown: number): string[] =>
    total > shown ? [`  and ${total - shown} more`] : [];
  const live = loaded.items.filter(({ generation }) => generation !== null).length;
  const waits =
    pending.total === 0
      ? 'no change waits for another restart'
      : `${pending.total} still waiting for a restart`;
  return [
    ...loaded.items.map(({ plugin, generation }) =>
      generation === null
        ? `${paint('dim', 'unloaded')}  ${safe(plugin)}: it was not live then`
        : `${paint('green', 'loaded')}    ${safe(plugin)} (${safe(generation)})`,
    ),
    ...more(loaded.total, loaded.items.length),
    ...pending.items.map(
      (plugin) => `${paint('yellow', 'waits')}     ${safe(plugin)}: its last change is not loaded yet`,
    ),
    ...more(pending.total, pending.items.length),
    `${plural(live + loaded.total - loaded.items.length, 'plugin')} loaded; ${waits}`,
  ].join('\n');
}
