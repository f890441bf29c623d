/** `.claude-plugin/marketplace.json`: a list of plugins, and what it says of each. */
import * as z from 'zod';

import { attempt } from '../attempt.ts';
import { schemaErrorOf } from '../schema-error.ts';

/** Where a directory of plugins lists them, as Claude Code reads it. */
export const MARKETPLACE_FILE = '.claude-plugin/marketplace.json';

/** A larger list is refused without reading it. */
export const MARKETPLACE_MAX_BYTES = 16 * 1024 * 1024;

const entrySchema = z.looseObject({
  name: z.string().min(1),
  /** A path below the marketplace, or a map that says from where to fetch the plugin. */
  source: z.union([z.string().min(1), z.looseObject({ source: z.string() })], {
    error: 'must be a path, or a map with the text "source"',
  }),
  /** `false`: the entry says all that there is to say about the plugin. */
  strict: z
    .boolean()
    .nullish()
    .transform((value) => value ?? true),
});
/** One plugin of a marketplace. Fields that are not read here belong to the manifest of the plugin. */
export type MarketplaceEntry = z.output<typeof entrySchema>;

const marketplaceSchema = z.looseObject({
  metadata: z.looseObject({ pluginRoot: z.string().nullish() }).nullish(),
  plugins: z.array(z.unknown()),
});

/** One entry of the list. A wrong one does not spoil the others. */
type MarketplaceLine = { ok: true; entry: MarketplaceEntry } | { ok: false; name: string; why: string };

export type Marketplace = {
  /** The directory, below that of the marketplace, in which sources may be too. */
  pluginRoot: string;
  lines: MarketplaceLine[];
};

export type MarketplaceReading = { ok: true; marketplace: Marketplace } | { ok: false; why: string };

/** Reads the text of a `marketplace.json`. Never throws: `why` says what is wrong, and where. */
export function readMarketplace(source: string): MarketplaceReading {
  let json: unknown;
  try {
    json = JSON.parse(source);
  } catch (error) {
    return { ok: false, why: `it is no JSON: ${jsonErrorOf(error as SyntaxError, source)}` };
  }
  const read = marketplaceSchema.safeParse(json);
  if (!read.success) return { ok: false, why: schemaErrorOf(read.error) };
  const { metadata, plugins } = read.data;
  return { ok: true, marketplace: { pluginRoot: metadata?.pluginRoot ?? '', lines: plugins.map(lineOf) } };
}

function lineOf(plugin: unknown, at: number): MarketplaceLine {
  const read = entrySchema.safeParse(plugin);
  if (read.success) return { ok: true, entry: read.data };
  const named = attempt(() => z.looseObject({ name: z.string().min(1) }).parse(plugin));
  return { ok: false, name: named?.name ?? `plugins[${at}]`, why: schemaErrorOf(read.error) };
}

/** What the parser says, in one line and with the line and column of the mistake, if it says where that is. */
function jsonErrorOf({ message }: SyntaxError, source: string): string {
  const said = message.replaceAll(/\s*\n\s*/g, ' ').replace(/ \(line \d+ column \d+\)$/, '');
  const position = / at position (\d+)$/.exec(said);
  if (position?.[1] === undefined) return said;
  const before = source.slice(0, Number(position[1])).split('\n');
  const place = `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
  return `${said.slice(0, position.index)} at ${place}`;
}

/** The text of the manifest that an entry stands for: what it says, without the fields that are about the list. */
export function manifestOf({ source: _source, strict: _strict, ...said }: MarketplaceEntry): string {
  return `${JSON.stringify(said, undefined, 2)}\n`;
}

/** The files and directories that an entry names, such as `"skills": ["./skills/pdf"]`, without their `./`. */
export function pathsIn({ source: _source, ...said }: MarketplaceEntry): string[] {
  return Object.values(said)
    .flat()
    .flatMap((value) => (typeof value === 'string' && value.startsWith('./') ? value : []))
    .map(plainPath);
}

/** A path without `./` before it and slashes behind it. An expression for it would take the square of its length. */
function plainPath(path: string): string {
  let [from, to] = [0, path.length];
  while (path.startsWith('./', from)) {
    from += 2;
    while (path.charAt(from) === '/') from += 1;
  }
  while (to > from && path.charAt(to - 1) === '/') to -= 1;
  return path.slice(from, to);
}
