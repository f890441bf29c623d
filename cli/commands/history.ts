/** `airlock history`: who did what to which plugin, when, and how it ended; with `--verify`, whether that can be believed. */
import { type PluginHistory, readHistory } from '../../client/index.ts';
import type { HistoryInfo } from '../../shared/api/history.ts';
import { methods } from '../../shared/api/methods.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import type { HistoryLine, HistoryVersion } from '../../shared/format/history.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { readOptions } from '../method-command.ts';
import { checkName } from '../reach.ts';
import { type Paint, plural, safe, table } from '../render.ts';
import { withCaller } from '../work.ts';

const { limit, verify, head } = methods['plugin.history'].params.shape;

export const command: Command = {
  name: 'history',
  summary: 'show who did what to the plugins, when, and how it ended; or verify that history',
  positionals: '[name]',
  count: { min: 0, max: 1 },
  settings: settingsOf(settings, 'client', 'loader'),
  options: {
    limit: { type: 'string', value: 'number', help: `${limit.description ?? ''}; default: 100` },
    verify: { type: 'boolean', help: `${verify.description ?? ''}; exit code 1 if not` },
    head: { type: 'string', value: 'sha256', help: head.description ?? '' },
  },
  examples: [
    'airlock history my-plugin --to ws://127.0.0.1:7423',
    'airlock history --verify --root /configs/plugins',
  ],
  async run(context) {
    const { output, given, signal } = context;
    const [plugin] = given.positionals;
    if (plugin !== undefined) {
      checkName(plugin);
    }
    const { limit: most, head: kept } = given.strings;
    const wanted = readOptions(
      'plugin.history',
      {
        plugin,
        limit: most === undefined ? undefined : Number(most),
        verify: given.booleans['verify'],
        head: kept,
      },
      'history',
    );
    const history = await withCaller(context, (caller) => readHistory(caller, wanted, { signal }));
    const isVerified = history.broken !== undefined;
    output.result(history, () =>
      isVerified ? verdictsOf(history, context) : textOf(history, plugin, context),
    );
    return (history.broken ?? 0) === 0 ? EXIT.done : EXIT.failed;
  },
};

function textOf(
  { lines, total, plugins }: PluginHistory,
  plugin: string | undefined,
  { output: { paint } }: Context,
): string {
  const unread = plugins.items
    .filter(({ verdict }) => verdict === 'broken')
    .flatMap((info) => findingsOf(info, paint));
  if (lines.length === 0) {
    return [...unread, 'Nothing was noted yet'].join('\n');
  }
  const names = plugin === undefined;
  const columns = (first: string[], name: string, rest: string[]): string[] => [
    ...first,
    ...(names ? [name] : []),
    ...rest,
  ];
  const rows = lines.map((line) =>
    columns([whenOf(line.at), line.by, line.op], line.plugin, [movedOf(line), endOf(line)]),
  );
  const headings = columns(['WHEN', 'WHO', 'WHAT'], 'PLUGIN', ['VERSION', 'HOW IT ENDED']);
  const heads = plugins.items.flatMap(({ head: last }) =>
    plugin === undefined || last === null ? [] : [last],
  );
  const older = total - lines.length;
  return [
    table(headings, rows, paint),
    ...unread,
    `${plural(lines.length, 'line')}${older > 0 ? `, and ${older} older (--limit)` : ''}${heads.map((last) => `; the last one is ${last}`).join('')}`,
  ].join('\n');
}

/** `2026-05-08T14:15:30.123Z` → `2026-05-08 14:15:30Z`. */
const whenOf = (at: string): string => `${at.slice(0, 19).replace('T', ' ')}Z`;

function versionText(said: HistoryVersion | null): string {
  if (said === null) {
    return 'nothing';
  }
  return said.version ?? said.installId ?? 'unknown';
}

function movedOf({ from, to }: HistoryLine): string {
  if (from === undefined && to === undefined) {
    return '';
  }
  return from === undefined ? versionText(to ?? null) : `${versionText(from)} → ${versionText(to ?? null)}`;
}

function endOf({ outcome, code, why, unnoted }: HistoryLine): string {
  const ends = { done: 'done', undone: 'undone after a crash', failed: `failed: ${code ?? 'unknown'}` };
  const more = unnoted === undefined ? '' : `; ${plural(unnoted, 'failure')} before it without a line`;
  return `${ends[outcome]}${why === undefined ? '' : ` (${why})`}${more}`;
}

/** Said with every verdict, because a whole chain proves less than it seems to. */
const CANNOT_PROVE =
  'A whole history shows that no line was changed alone. It cannot show that nobody who may write to the root has written all of it anew: keep the sha256 of a last line elsewhere, and give it with --head';

function verdictsOf({ plugins, broken = 0 }: PluginHistory, { output: { paint } }: Context): string {
  const { items, total } = plugins;
  const lines = items.flatMap((info) => [
    headline(info, paint),
    ...findingsOf(info, paint),
    ...notesOf(info),
  ]);
  const cutOff = total > items.length ? [`and ${total - items.length} more, which are not broken`] : [];
  const last =
    broken === 0
      ? paint('green', `${plural(total, 'history', 'histories')}, none of them broken`)
      : paint(
          'red',
          `${broken} of ${plural(total, 'history', 'histories')} ${broken === 1 ? 'is' : 'are'} broken`,
        );
  return [...lines, ...cutOff, last, CANNOT_PROVE].join('\n');
}

function headline({ plugin, verdict = 'unknown', lines, head: last }: HistoryInfo, paint: Paint): string {
  const word = paint(
    verdict === 'whole' ? 'green' : verdict === 'broken' ? 'red' : 'yellow',
    verdict.padEnd(7),
  );
  return `${word}  ${safe(plugin)}: ${plural(lines, 'line')}${last === null ? '' : `, the last one is ${safe(last)}`}`;
}

const findingsOf = ({ plugin, findings }: HistoryInfo, paint: Paint): string[] => [
  ...(findings?.items ?? []).map(({ what }) => `         ${paint('red', safe(plugin))}: ${safe(what)}`),
  ...(findings === undefined || findings.items.length === findings.total
    ? []
    : [`         and ${findings.total - findings.items.length} more`]),
];

const notesOf = ({ notes = [] }: HistoryInfo): string[] => notes.map((text) => `         ${safe(text)}`);
