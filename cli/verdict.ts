/** What a change would mean for the runtime, as text for people. */
import type { Reload } from '../client/index.ts';
import { type Paint, reasonText, safe } from './render.ts';

/** The most reasons that are shown to people. */
const SHOWN_MAX = 20;

const WORDS = {
  none: 'nothing would change',
  hot: 'only skills would change: no restart is needed',
  restart: 'the runtime would have to be restarted',
} as const;

/** The verdict in one line, and each reason on a line of its own. */
export function verdictText(plugin: string, { kind, action, reasons }: Reload, paint: Paint): string {
  const lines = reasons.items
    .slice(0, SHOWN_MAX)
    .map((reason) => `  ${reason.change.padEnd(8)}  ${safe(reasonText(reason))}`);
  const more = reasons.total - lines.length;
  return [
    `${paint(action === 'restart' ? 'yellow' : 'green', kind)}  ${safe(plugin)}: ${WORDS[action]}`,
    ...lines,
    ...(more > 0 ? [`  and ${more} more`] : []),
  ].join('\n');
}
