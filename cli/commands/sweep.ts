/** `airlock sweep`: removes what is no longer needed. */
import type { Swept } from '../../shared/api/maintenance.ts';
import { type Context, EXIT } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { plural, safe } from '../render.ts';

export const command = methodCommand('sweep', rowOf('sweep', 'sweep'), {
  text: textOf,
  exit: ({ failed }) => (failed.total === 0 ? EXIT.done : EXIT.failed),
});

function textOf(swept: Swept, { output: { paint } }: Context): string {
  const { recovered, snapshots, receipts, adopted, operations, busy, failed } = swept;
  const counts = [
    plural(snapshots.total, 'snapshot'),
    plural(receipts.total, 'receipt'),
    plural(operations, 'remembered answer'),
  ];
  return [
    ...recovered.items.map(({ plugin, stamp }) => `recovered  ${safe(plugin)} (${stamp})`),
    ...adopted.items.map((plugin) => `adopted    ${safe(plugin)}: its empty marker is a full one now`),
    ...busy.items.map((plugin) => `${paint('yellow', 'busy')}       ${safe(plugin)} is being changed`),
    ...failed.items.map(
      ({ plugin, error }) => `${paint('red', 'failed')}     ${safe(plugin)}: ${safe(error.detail)}`,
    ),
    `${paint('green', 'swept')}      removed ${counts.join(', ')}`,
  ].join('\n');
}
