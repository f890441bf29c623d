/** `airlock recover`: finishes or undoes what a crash has left. */
import type { RecoveryResult } from '../../shared/api/maintenance.ts';
import { type Context, EXIT } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { plural, safe } from '../render.ts';

export const command = methodCommand('recover', rowOf('recover', 'recover'), {
  examples: ['airlock recover --root /configs/plugins', 'airlock recover my-plugin --to ws://127.0.0.1:7423'],
  text: textOf,
  exit: ({ recovered, failed }) =>
    failed.total > 0 || recovered.items.some(({ held }) => held !== undefined) ? EXIT.failed : EXIT.done,
});

function textOf({ recovered, busy, failed }: RecoveryResult, { output: { paint } }: Context): string {
  const lines = recovered.items.map(({ plugin, stamp, rows, held }) =>
    held === undefined
      ? `${paint('green', 'recovered')}  ${safe(plugin)} (${stamp}, rows ${rows.join(', ')} of the table)`
      : `${paint('red', 'held')}       ${safe(plugin)} (${stamp}): ${safe(held)}; see "airlock status"`,
  );
  return [
    ...lines,
    ...busy.items.map((plugin) => `${paint('yellow', 'busy')}       ${safe(plugin)} is being changed`),
    ...failed.items.map(
      ({ plugin, error }) => `${paint('red', 'failed')}     ${safe(plugin)}: ${safe(error.detail)}`,
    ),
    recovered.total === 0
      ? 'There was nothing to recover'
      : `${plural(recovered.total, 'operation')} looked at, ${failed.total} failed, ${busy.total} busy`,
  ].join('\n');
}
