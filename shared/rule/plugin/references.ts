/** The files that a manifest or a hook names. Pure. */
import { attempt } from '../../attempt.ts';
import type { Manifest } from '../../format/manifest.ts';
import { type Finding, finding } from './finding.ts';
import { linesOf } from './lines.ts';

/** The files in which commands name files of the plugin. */
export const isHookFile = (path: string): boolean =>
  /^(?:hooks\/[^/]+\.json|hooks\.json|settings-fragment\.json|\.mcp\.json|mcp\.json|\.claude-plugin\/plugin\.json)$/.test(
    path,
  );

/** A variable that stands for the directory of the plugin, then the path in it. */
const BELOW_ROOT =
  /\$(?:\{(?:CLAUDE_PLUGIN_ROOT|CLAUDE_DIR)(?::-[^{}"]{0,100})?\}|CLAUDE_PLUGIN_ROOT(?![A-Z_]))(?:\\?["'])?\/([^\s"'`;|&<>()$\\*?{},]{0,1000})/g;
/** What comes before a path that a command makes, or looks for, or removes. */
const NOT_NEEDED = /(?:>|\s-[defrswx]\s|\b(?:mkdir|touch|rm|test)(?:\s-\w+)?)\s*(?:\\?["'])?$/;
/** What comes before a path that is a command, and not an argument of one. */
const RUN = /(?:"command"\s*:\s*"|&&|;|\|)\s*(?:\\?["'])?$/;
/** Directories and files that are made where the plugin is used. */
const MADE_THERE = /(?:^|\/)(?:node_modules|\.?venv|\.cache|logs)(?:\/|$)|\.log$/;
/** As much before a mention as is looked at. */
const BEFORE = 60;

/** More are not looked at. */
const MENTIONS_MAX = 1000;

type Mention = {
  path: string;
  /** The path if it may hold spaces. */
  spaced: string;
  /** From 1. */
  line: number;
  /** It is a command, without an interpreter before it. */
  isRun: boolean;
  isNeeded: boolean;
};

/** The files that the commands in a text name, up to a bound. */
export function mentionsIn(text: string): Mention[] {
  const mentions: Mention[] = [];
  const lineAt = linesOf(text);
  for (const match of text.matchAll(BELOW_ROOT)) {
    const [whole, path = ''] = match;
    const end = match.index + whole.length;
    const clean = cleaned(path);
    // The rest of the path may be a variable or a pattern.
    const isWhole =
      clean !== '' && !/^[$*?{]/.test(text.slice(end, end + 1)) && !clean.split('/').includes('..');
    if (!isWhole) continue;
    const before = text.slice(Math.max(0, match.index - BEFORE), match.index);
    const isNeeded = !NOT_NEEDED.test(before) && !MADE_THERE.test(path);
    // In quotes a path may hold spaces.
    const [rest = ''] = /^[^"'\\]*/.exec(text.slice(end, end + BEFORE)) ?? [];
    mentions.push({
      path: clean,
      spaced: `${path}${rest}`,
      line: lineAt(match.index),
      isRun: RUN.test(before),
      isNeeded,
    });
    if (mentions.length === MENTIONS_MAX) break;
  }
  return mentions;
}

/** A path without `./` before it, and slashes or points behind it. */
function cleaned(path: string): string {
  let [from, to] = [0, path.length];
  while (path.startsWith('./', from)) from += 2;
  while (to > from && '/.:'.includes(path.charAt(to - 1))) to -= 1;
  return path.slice(from, to);
}

/** Whether a path is a file or a directory of the plugin. */
export type IsKnown = (path: string) => boolean;

/** The files that the commands of a hook name and that are not there. */
export function missingInCommands(path: string, text: string, isThere: IsKnown): Finding[] {
  const mentions = mentionsIn(text);
  const optional = new Set(mentions.filter(({ isNeeded }) => !isNeeded).map((one) => one.path));
  const missing = mentions.filter(
    (one) => !optional.has(one.path) && !isThere(one.path) && !isThere(one.spaced),
  );
  const first = new Map(missing.toReversed().map((one) => [one.path, one.line]));
  return [...first]
    .toReversed()
    .map(([named, line]) =>
      finding('file-not-there', path, `it names "${named}", which is not there`, { line }),
    );
}

/** The fields of Claude Code's plugin.json that hold paths. */
const COMPONENTS = ['commands', 'agents', 'skills', 'hooks', 'mcpServers', 'lspServers', 'outputStyles'];

/** The components that a plugin.json of Claude Code names and that are not there. */
export function missingComponents(path: string, text: string, isThere: IsKnown): Finding[] {
  const json = attempt((): unknown => JSON.parse(text));
  const fields = typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {};
  const named = COMPONENTS.flatMap((key) => [fields[key]].flat()).filter(
    (value): value is string => typeof value === 'string' && /^\.\/[^*]{0,1000}$/.test(value),
  );
  const missing = [...new Set(named)]
    .slice(0, MENTIONS_MAX)
    .map((value) => ({ value, clean: cleaned(value) }))
    .filter(({ clean }) => clean !== '' && !clean.split('/').includes('..') && !isThere(clean))
    .map(({ value }) => value);
  const lines = linesOfStrings(text, new Set(missing));
  return missing.map((value) =>
    finding('file-not-there', path, `it names "${value}", which is not there`, { line: lines.get(value) }),
  );
}

/** Where the texts of a JSON document are first. One written with escapes that are not needed is not found. */
function linesOfStrings(text: string, wanted: ReadonlySet<string>): Map<string, number> {
  const lineAt = linesOf(text);
  const tokens = new Map([...wanted].map((value) => [JSON.stringify(value), value]));
  const lines = new Map<string, number>();
  if (tokens.size === 0) return lines;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"/g)) {
    const value = tokens.get(token);
    if (value !== undefined && !lines.has(value)) lines.set(value, lineAt(index));
  }
  return lines;
}

/**
 * The parts that a plugin.yaml names and that are not there. A name may be a path, or that of a file, without its extension,
 * or of a directory, where parts of this kind are.
 *
 * @param paths every file and directory.
 */
export function missingParts(manifest: Manifest, paths: ReadonlySet<string>): Finding[] {
  const { skills, rules, hooks, adapters, promptFragments } = manifest;
  const fields = { skills, rules, hooks, adapters, prompt_fragments: promptFragments };
  const bare = new Set([...paths].map((path) => spelled(path.replace(/\.[^./]+$/, ''))));
  const isFound = (place: string): boolean => paths.has(place) || bare.has(spelled(place));
  return Object.entries(fields).flatMap(([field, names]) =>
    [...new Set(names)]
      .map((name) => ({ name, clean: cleaned(name) }))
      .filter(({ clean }) => clean !== '' && clean.length < 1000 && !/[*?{}\s]/.test(clean))
      .filter(({ clean }) => !isFound(clean) && !isFound(`${field}/${clean}`))
      .map(({ name }) =>
        finding(
          'file-not-there',
          manifest.file,
          `"${field}" names "${name.slice(0, 200)}", which is not there`,
        ),
      ),
  );
}

/** `-` and `_` are equal, as in the names of runtimes. */
const spelled = (path: string): string => path.replaceAll('-', '_');
