/** `airlock sweep`: what is no longer needed goes. */
import type { Swept } from '../../shared/api/maintenance.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { plural, safe } from '../render.ts';
import { CHANGE_SETTINGS, change } from '../work.ts';

export const command: Command = {
  name: 'sweep',
  summary: 'remove what is no longer needed: old snapshots, receipts and answers; an agent does it hourly',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: CHANGE_SETTINGS,
  options: {},
  examples: ['airlock sweep --root /configs/plugins', 'airlock sweep --to ws://127.0.0.1:7423'],
  async run(context) {
    const swept = await change(context, 'sweep', {});
    context.output.result(swept, () => textOf(swept, context));
    return swept.failed.total === 0 ? EXIT.done : EXIT.failed;
  },
};

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
    ...busy.items.map((plugin) => `${paint('yellow', 'busy')}       ${safe(plugin)} is being worked on`),
    ...failed.items.map(
      ({ plugin, error }) => `${paint('red', 'failed')}     ${safe(plugin)}: ${safe(error.detail)}`,
    ),
    `${paint('green', 'swept')}      removed ${counts.join(', ')}`,
  ].join('\n');
}
