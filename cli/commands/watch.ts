/** `airlock watch`: shows the events of an agent (`--to`), or the changes in a root (`--root`). */
import { type Session, follow } from '../../client/index.ts';
import { createLoader } from '../../loader/index.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { mustBeThere, openFor, usesAgent } from '../reach.ts';
import { safe } from '../render.ts';
import { changeLine, eventLine } from '../watch-lines.ts';

export const command: Command = {
  name: 'watch',
  summary: 'show events until Ctrl-C: those of an agent, or changes in a root and what they mean',
  positionals: '',
  count: { min: 0, max: 0 },
  settings: settingsOf(settings, 'client', 'loader'),
  options: {
    polling: {
      type: 'boolean',
      help: 'with --root: poll, for file systems that report no changes',
    },
  },
  examples: ['airlock watch --to ws://127.0.0.1:7423', 'airlock watch --root /configs/plugins --json'],
  async run(context) {
    await (usesAgent(context, ['polling']) ? watchAgent(context) : watchRoot(context));
    return EXIT.done;
  },
};

async function watchRoot({ given, env, signal, output }: Context): Promise<void> {
  const { root, ...options } = readSettings(settingsOf(settings, 'loader'), given.settings, env);
  await mustBeThere(root);
  const watch = createLoader({ roots: [root], ...options }).watch({
    polling: given.booleans['polling'],
    notice: (text) => output.note(safe(text)),
  });
  const stop = (): void => void watch.close();
  signal.addEventListener('abort', stop, { once: true });
  await watch.ready;
  output.note(`Watching "${root}"`);
  for await (const event of watch) output.result(event, () => changeLine(event, output.paint));
}

async function watchAgent(context: Context): Promise<void> {
  const { output, signal } = context;
  let connections = 0;
  await follow((more) => openFor(context, { ...more, events: 'all' }), {
    signal,
    onEvent: (event) => {
      // Nobody reads a bar for each upload, so a terminal shows only steps that have ended.
      if (!output.json && event.type === 'install.progress') return;
      output.result(event, () => eventLine(event, output.paint));
    },
    onConnected: (session) => {
      connections += 1;
      output.note(connections === 1 ? `Watching the agent ${safe(session.hello.agent)}` : backText(session));
    },
    onLost: (why) => output.note(`${safe(why.message)}; connecting again until Ctrl-C`),
  });
}

const backText = ({ resumed, hello }: Session): string =>
  resumed
    ? 'Connected again; nothing was missed'
    : `Connected again, to the agent ${safe(hello.agent)}; the events in between are lost, and the snapshot lists what is installed now`;
