/** `airlock.lock`: which plugins there are to be, one a line. The same plugins give the same bytes on every machine. */
import * as z from 'zod';

import { schemaErrorOf } from '../schema-error.ts';
import { digestSchema, pluginNameSchema } from './name.ts';

/** The name of the file in a directory of bundles. */
export const LOCK_FILE = 'airlock.lock';

/** A larger file is refused without reading it. */
export const LOCK_FILE_MAX_BYTES = 8 * 1024 * 1024;

/** The most plugins that are declared at once. */
export const DECLARED_MAX = 1000;

/**
 * One plugin as it is declared. The first of `tree`, `bundle` and `version` that is given decides whether a live version is
 * the declared one. The order of the fields is that in the file.
 */
export const declaredSchema = z.strictObject({
  name: pluginNameSchema,
  version: z.string().max(256).optional(),
  /** The digest of the files. */
  tree: digestSchema.optional(),
  /** The digest of the bundle. */
  bundle: digestSchema.optional(),
  /** Where the bundle is: a URL from which the agent pulls it, or any other text, which is only recorded. */
  source: z.string().min(1).max(1024).optional(),
});
export type Declared = z.infer<typeof declaredSchema>;

/** Whether an agent can fetch a bundle from its source by itself. */
export const isPullable = (source: string | undefined): source is string =>
  source !== undefined && /^https?:\/\//i.test(source);

/** A source as markers and messages may have it: the query of a URL may hold a secret. */
export const sourceLabel = (source: string): string =>
  isPullable(source) ? source.replace(/[?#].*$/s, '').replace(/^([^/]*\/\/)[^/@]*@/, '$1') : source;

/** What a declared plugin says about its bytes, as the parameters of a pull. */
export const digestsOf = ({
  tree,
  bundle,
}: Pick<Declared, 'tree' | 'bundle'>): { tree?: string; bundle?: { sha256: string } } => ({
  ...(tree === undefined ? {} : { tree }),
  ...(bundle === undefined ? {} : { bundle: { sha256: bundle.slice('sha256:'.length) } }),
});

/** A line of a lock file says exactly what the files are. */
const lineSchema = declaredSchema.refine(({ tree, bundle }) => tree !== undefined || bundle !== undefined, {
  error: 'must have a "tree" or a "bundle"',
});

/** The schema of the file. */
export const lockFileSchema = z.strictObject({
  version: z.literal(1, { error: 'must be 1; another version may need a newer Airlock' }),
  plugins: z.array(lineSchema).max(DECLARED_MAX),
});

/** The content of a lock file, or what is wrong with it. */
export type LockFileReading = { ok: true; plugins: Declared[] } | { ok: false; why: string };

/** Reads the text of a lock file. Never throws. */
export function readLockFile(text: string): LockFileReading {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { ok: false, why: `it is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  const read = lockFileSchema.safeParse(json);
  if (!read.success) {
    return { ok: false, why: schemaErrorOf(read.error) };
  }
  const { plugins } = read.data;
  const double = doubleOf(plugins);
  return double === undefined ? { ok: true, plugins } : { ok: false, why: `it names "${double}" twice` };
}

/** The first name that is declared twice. */
export function doubleOf(declared: readonly Declared[]): string | undefined {
  const seen = new Set<string>();
  return declared.find(({ name }) => seen.size === seen.add(name).size)?.name;
}

/** The text of a lock file: sorted by name, the fields in the order of the schema. */
export function writeLockFile(plugins: readonly Declared[]): string {
  const lines = plugins
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, version, tree, bundle, source }) =>
      JSON.stringify({ name, version, tree, bundle, source }),
    );
  return `{"version":1,"plugins":[${lines.length === 0 ? '' : `\n${lines.join(',\n')}\n`}]}\n`;
}

/**
 * The line of an installed plugin. The digest of a tree in the place of a bundle says that there was none: the plugin was
 * adopted.
 */
export const declare = (
  name: string,
  { version, tree, bundle, source }: Omit<Declared, 'name'>,
): Declared => ({
  name,
  ...(version === undefined ? {} : { version }),
  ...(tree === undefined ? {} : { tree }),
  ...(bundle === undefined || bundle === tree ? {} : { bundle }),
  ...(source === undefined || source === '' ? {} : { source }),
});

/** The plugins with one more, or with another version of it. */
export const withPlugin = (plugins: readonly Declared[], one: Declared): Declared[] => [
  ...plugins.filter(({ name }) => name !== one.name),
  one,
];
