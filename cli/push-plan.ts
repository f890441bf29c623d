/** `airlock push --plan`: says what a push would do, and does none of it. */
import { type Bundle, planPush, type PushPlan } from '../client/index.ts';
import { type Context, EXIT } from './command.ts';
import { openFor } from './reach.ts';
import { bytes, type Paint, plural, safe } from './render.ts';
import { verdictText } from './verdict.ts';

/**
 * Asks the agent, and shows its answer.
 *
 * @returns the exit code: 1 if there is no room for the plugin. @throws Fault as `planPush`, or of connecting.
 */
export async function planOf(
  context: Context,
  bundle: Bundle,
  options: Parameters<typeof planPush>[2],
): Promise<number> {
  const { output, signal } = context;
  const session = await openFor(context, { signal });
  try {
    const plan = await planPush(session, bundle, options);
    output.result(plan, () => textOf(plan, output.paint));
    return hasRoom(plan) ? EXIT.done : EXIT.failed;
  } finally {
    await session.close();
  }
}

const hasRoom = ({ room }: PushPlan): boolean => room.needed <= room.free;

function textOf(plan: PushPlan, paint: Paint): string {
  const { plugin, reload } = plan;
  return [
    `${paint('bold', 'plan')}  ${safe(plugin)}: ${sentText(plan)}`,
    `  ${roomText(plan, paint)}`,
    verdictText(plugin, reload, paint),
  ].join('\n');
}

function sentText({ status, sent: { files, bytes: sent, of, list } }: PushPlan): string {
  if (status === 'present') return 'it is there already, nothing would be sent';
  if (sent - list === of) return `${plural(files, 'file')} would be sent, all of them: ${bytes(of)}`;
  const listed = `${bytes(list)} of it the list of what is there`;
  return `${plural(files, 'file')} would be sent: ${bytes(sent)} instead of ${bytes(of)}, ${listed}`;
}

function roomText(plan: PushPlan, paint: Paint): string {
  const { needed, free } = plan.room;
  const text = `${bytes(needed)} of room needed, ${bytes(free)} free`;
  return hasRoom(plan) ? text : paint('red', `${text}: the agent would refuse it (NO_SPACE)`);
}
