/** `airlock verify`: is what lies there what was installed, byte for byte? */
import { verifyPlugins } from '../../client/index.ts';
import { type GateAnswer, type Loader, createLoader } from '../../loader/index.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { Fault } from '../../shared/api/fault.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { checkName, mustBeThere, openFor, usesAgent } from '../reach.ts';
import { safe } from '../render.ts';
import { gateInfo } from '../root-list.ts';

type Line = { plugin: string; verdict: string; detail?: string | undefined; hint?: string | undefined };

export const command: Command = {
  name: 'verify',
  summary: 'hash what is installed and compare it with what was installed',
  positionals: '[name]',
  count: { min: 0, max: 1 },
  settings: settingsOf(settings, 'client', 'loader'),
  options: {},
  examples: ['airlock verify my-plugin --to ws://127.0.0.1:7423', 'airlock verify --root /configs/plugins'],
  async run(context) {
    const { output, given } = context;
    for (const name of given.positionals) checkName(name);
    const lines = usesAgent(context) ? await fromAgent(context) : await fromRoot(context);
    const [only] = lines;
    const isOne = given.positionals.length === 1;
    output.result(isOne ? only : lines, () => textOf(lines, context));
    return lines.every(({ verdict }) => verdict === 'intact' || verdict === 'unknown')
      ? EXIT.done
      : EXIT.failed;
  },
};

async function fromAgent(context: Context): Promise<Line[]> {
  const { given, signal } = context;
  const session = await openFor(context);
  try {
    const names = given.positionals.length === 0 ? 'all' : given.positionals;
    return (await verifyPlugins(session, names, { signal })).map((verification) => ({
      ...verification,
      detail: verification.detail ?? differences(verification),
    }));
  } finally {
    await session.close();
  }
}

type Cut = { items: string[]; total: number };

function differences(found: { modified: Cut; missing: Cut; unlisted: Cut }): string | undefined {
  const named = (['modified', 'missing', 'unlisted'] as const)
    .filter((kind) => found[kind].total > 0)
    .map((kind) => {
      const { items, total } = found[kind];
      const more = total > items.length ? ` and ${total - items.length} more` : '';
      return `${kind}: ${items.join(', ')}${more}`;
    });
  return named.length === 0 ? undefined : named.join('; ');
}

/** As an agent says it; the gate's own hint is to ask this command. */
const DRIFTED = 'Files were changed in place: install again to bring them back; a snapshot keeps the edits';

const UNKNOWN = 'There is no receipt to compare its files with';

/** Without an agent the gate is asked, and told to hash everything. */
async function fromRoot({ given, env, signal }: Context): Promise<Line[]> {
  const { root, ...options } = readSettings(settingsOf(settings, 'loader'), given.settings, env);
  await mustBeThere(root);
  const loader = createLoader({ roots: [root], ...options, signal, verify: 'digest' });
  const [name] = given.positionals;
  const { admitted, refused } = name === undefined ? await loader.scan() : { admitted: [], refused: [] };
  const found =
    name === undefined
      ? [
          ...admitted.map((plugin) => gateInfo({ admitted: true, plugin, passedOver: [] })),
          ...refused.map(gateInfo),
        ]
      : [gateInfo(await one(loader, name))];
  const byName = found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return byName.map(({ name: plugin, status, level, reason, detail, hint }) => {
    if (status === 'admitted') {
      return level === 'verified'
        ? { plugin, verdict: 'intact' }
        : { plugin, verdict: 'unknown', detail: UNKNOWN, hint: `Install "${plugin}" again to have one` };
    }
    return reason === 'digest-mismatch'
      ? { plugin, verdict: 'drifted', detail, hint: DRIFTED }
      : { plugin, verdict: 'refused', detail, hint };
  });
}

/** @throws Fault NOT_FOUND, as an agent answers. */
async function one(loader: Pick<Loader, 'gate'>, name: string): Promise<GateAnswer> {
  const answer = await loader.gate(name);
  if (!answer.admitted && answer.reason === 'not-a-directory') {
    throw new Fault('NOT_FOUND', `There is no plugin "${name}" here: ${answer.detail}`, {
      hint: 'See what there is with "airlock list"',
    });
  }
  return answer;
}

function textOf(lines: readonly Line[], { output: { paint } }: Context): string {
  if (lines.length === 0) {
    return 'There are no plugins';
  }
  return lines
    .flatMap(({ plugin, verdict, detail, hint }) => [
      `${paint(verdict === 'intact' ? 'green' : 'yellow', verdict.padEnd(8))}  ${safe(plugin)}${detail === undefined ? '' : `: ${safe(detail)}`}`,
      ...(hint === undefined ? [] : [`          what to do: ${safe(hint)}`]),
    ])
    .join('\n');
}
