/** `airlock watch`: what happens, as it happens: an agent's events (`--to`), or what changes in a root (`--root`). */
import type { AgentEvent } from '../../client/index.ts';
import { type WatchEvent, createLoader } from '../../loader/index.ts';
import { readSettings } from '../../shared/config.ts';
import { Fault } from '../../shared/fault.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { REACH_SETTINGS, openFor } from '../reach.ts';
import { type Paint, safe } from '../render.ts';
import { mustBeThere, usesAgent } from './list.ts';

export const command: Command = {
  name: 'watch',
  summary: 'show what happens until Ctrl-C: events of an agent, or changes in a root and what they mean',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: [...REACH_SETTINGS, 'root', 'runtime', 'manifest', 'ignore'],
  options: {
    polling: {
      type: 'boolean',
      help: 'with --root: look again and again, for file systems that tell nothing',
    },
  },
  examples: ['airlock watch --to ws://127.0.0.1:7423', 'airlock watch --root /configs/plugins --json'],
  async run(context) {
    await (usesAgent(context) ? watchAgent(context) : watchRoot(context));
    return EXIT.done;
  },
};

async function watchRoot({ given, env, signal, output }: Context): Promise<void> {
  const { root, runtime, manifest, ignore } = readSettings(
    ['root', 'runtime', 'manifest', 'ignore'],
    given.settings,
    env,
  );
  await mustBeThere(root);
  const watch = createLoader({ roots: [root], runtime, manifest, ignore }).watch({
    polling: given.booleans['polling'],
    notice: (text) => output.note(text),
  });
  const stop = (): void => void watch.close();
  signal.addEventListener('abort', stop, { once: true });
  await watch.ready;
  output.note(`Watching "${root}"`);
  for await (const event of watch) output.result(event, () => changeLine(event, output.paint));
}

const MEANS: Record<WatchEvent['kind'], { colour: Parameters<Paint>[0]; says: string }> = {
  identical: { colour: 'green', says: 'what is there is what is loaded' },
  'skill-content-only': { colour: 'green', says: 'hot' },
  cold: { colour: 'yellow', says: 'needs a restart' },
};
const NAMED_MAX = 3;

function changeLine(event: WatchEvent, paint: Paint): string {
  const { plugin, kind, status, detail, skills, reasons, cause } = event;
  const { colour, says } = MEANS[kind];
  const by = cause.by === 'swap' ? `swapped in by ${cause.installId}` : 'edited';
  const named = kind === 'cold' ? reasons.map(({ path, why }) => `${path}: ${why}`) : skills;
  const more = named.length > NAMED_MAX ? [`and ${named.length - NAMED_MAX} more`] : [];
  const what = [...named.slice(0, NAMED_MAX), ...more].map(safe).join('; ');
  const there = status === 'admitted' ? '' : ` (${status}${detail === undefined ? '' : `, ${safe(detail)}`})`;
  return `${paint('bold', safe(plugin))}  ${paint(colour, says)}${there}  ${by}${what === '' ? '' : `: ${what}`}`;
}

async function watchAgent(context: Context): Promise<void> {
  const { output, signal } = context;
  const session = await openFor(context, 'all');
  const stop = (): void => void session.close();
  signal.addEventListener('abort', stop, { once: true });
  session.onEvent((event) => {
    // A bar for each upload would not be read: on a terminal only what has come to an end is shown.
    if (!output.json && event.type === 'install.progress') return;
    output.result(event, () => eventLine(event, output.paint));
  });
  output.note(`Watching the agent ${safe(session.hello.agent)}`);
  const { reason } = await session.closed;
  if (!signal.aborted) {
    throw new Fault('UNREACHABLE', `The agent ended the connection: ${reason}`, {
      hint: 'Run the command again; "airlock list" shows what is installed',
    });
  }
}

function eventLine({ at, type, data }: AgentEvent, paint: Paint): string {
  const { plugin, ...rest } =
    typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
  const about = Object.entries(rest)
    .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
    .map(([name, value]) => `${name}=${safe(String(value))}`);
  const colour = type.endsWith('.failed') ? 'red' : 'green';
  const subject = typeof plugin === 'string' ? `  ${paint('bold', safe(plugin))}` : '';
  return `${paint('dim', at)}  ${paint(colour, safe(type))}${subject}  ${about.join(' ')}`.trimEnd();
}
