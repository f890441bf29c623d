/** `airlock adopt`: says what of a live directory would be adopted, and with `--yes` gives it a full marker. */
import type { Adopted } from '../../shared/api/plugin.ts';
import { type Context, EXIT } from '../command.ts';
import { methodCommand, rowOf } from '../method-command.ts';
import { bytes, plural, safe } from '../render.ts';

export const command = methodCommand('plugin.adopt', rowOf('plugin.adopt', 'adopt'), {
  examples: [
    'airlock adopt my-plugin --root /configs/plugins',
    'airlock adopt my-plugin --to ws://127.0.0.1:7423 --yes',
  ],
  notes: ({ warnings: { items, total } }) => [
    ...items.map((warning) => `warning: ${safe(warning)}`),
    ...(total > items.length ? [`and ${plural(total - items.length, 'more warning')}`] : []),
  ],
  text: textOf,
  exit: ({ prevents }) => (prevents.total === 0 ? EXIT.done : EXIT.failed),
});

function textOf(adopted: Adopted, { output: { paint } }: Context): string {
  const { plugin, status, pluginVersion, installId, tree, files, bytes: size, prevents } = adopted;
  const name = safe(plugin);
  const about = `${name} ${safe(pluginVersion)} (${plural(files, 'file')}, ${bytes(size)}`;
  if (status !== 'planned') {
    const what = status === 'adopted' ? 'has a full marker now' : 'has a full marker already';
    return `${paint('green', status)}  ${about}, ${safe(installId ?? '')}) ${what}`;
  }
  const lines = [`${paint('bold', 'plan')}  ${about})`, `  tree   ${safe(tree)}`];
  if (prevents.total === 0) {
    return [
      ...lines,
      `It would get a full marker; nothing was changed. Do it with --yes --tree ${safe(tree)}`,
    ].join('\n');
  }
  return [
    ...lines,
    ...prevents.items.flatMap(({ detail, hint }) => [
      `${paint('red', 'prevented')}  ${safe(detail)}`,
      ...(hint === undefined ? [] : [`  what to do: ${safe(hint)}`]),
    ]),
    paint('red', `${name} cannot be adopted; nothing was changed`),
  ].join('\n');
}
