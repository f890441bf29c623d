/** `airlock recover`: what a crash has left half-way is finished or undone. */
import type { RecoveryResult } from '../../shared/api/maintenance.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { plural, safe } from '../render.ts';
import { CHANGE_SETTINGS, change } from '../work.ts';

export const command: Command = {
  name: 'recover',
  summary: 'finish or undo what a crash has left half-way; what is being worked on is left alone',
  positionals: '[name]',
  count: { min: 0, max: 1 },
  settings: CHANGE_SETTINGS,
  options: {},
  examples: ['airlock recover --root /configs/plugins', 'airlock recover my-plugin --to ws://127.0.0.1:7423'],
  async run(context) {
    const [plugin] = context.given.positionals;
    const result = await change(context, 'recover', plugin === undefined ? {} : { plugin });
    context.output.result(result, () => textOf(result, context));
    const held = result.recovered.items.some((one) => one.held !== undefined);
    return held || result.failed.total > 0 ? EXIT.failed : EXIT.done;
  },
};

function textOf({ recovered, busy, failed }: RecoveryResult, { output: { paint } }: Context): string {
  const lines = recovered.items.map(({ plugin, stamp, rows, held }) =>
    held === undefined
      ? `${paint('green', 'recovered')}  ${safe(plugin)} (${stamp}, rows ${rows.join(', ')} of the table)`
      : `${paint('red', 'held')}       ${safe(plugin)} (${stamp}): ${safe(held)}; see "airlock status"`,
  );
  return [
    ...lines,
    ...busy.items.map((plugin) => `${paint('yellow', 'busy')}       ${safe(plugin)} is being worked on`),
    ...failed.items.map(
      ({ plugin, error }) => `${paint('red', 'failed')}     ${safe(plugin)}: ${safe(error.detail)}`,
    ),
    recovered.total === 0
      ? 'Nothing was left half-way'
      : `${plural(recovered.total, 'operation')} looked at, ${failed.total} failed, ${busy.total} busy`,
  ].join('\n');
}
