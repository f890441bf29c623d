/** The manifest of a plugin, in each of its three kinds: `plugin.yaml`, Claude Code's `plugin.json`, a root `SKILL.md`. */
import { Lexer, Parser, isMap, isScalar, parseDocument } from 'yaml';
import * as z from 'zod';

import { schemaErrorOf } from '../schema-error.ts';

/** The files that can be a manifest. The first that exists counts. */
export const MANIFEST_FILES = ['plugin.yaml', '.claude-plugin/plugin.json', 'SKILL.md'] as const;
export type ManifestFile = (typeof MANIFEST_FILES)[number];

/** The longest values, in characters. What goes into markers, lists and errors must be small enough for one frame. */
const NAME_MAX = 128;
const VERSION_MAX = 256;
const DESCRIPTION_MAX = 1024;

/** YAML with deeper nesting is refused: composing it is recursive, and a stack overflow may end the whole process. */
const NESTING_MAX = 64;

/** YAML with more tokens is refused: the check for duplicate keys takes the square of their number. */
const LEXEMES_MAX = 20_000;

/** A larger manifest is refused without reading it. */
export const MANIFEST_MAX_BYTES = 1024 * 1024;

const text = z.union([z.string(), z.number().transform(String)]);
const texts = z
  .union([z.array(text), text.transform((one) => [one])])
  .nullish()
  .transform((list) => list ?? []);
const author = z
  .union([text, z.object({ name: text }).transform(({ name }) => name)])
  .nullish()
  .transform((value) => value ?? undefined);

const short = (most: number): typeof text =>
  text.refine((value) => value.length <= most, `must have at most ${most} characters`);
const versionText = short(VERSION_MAX);

const fields = {
  name: short(NAME_MAX).refine((value) => value !== '', 'must not be empty'),
  version: versionText.nullish().transform((value) => value ?? '0.0.0'),
  // A long description is cut, not refused, because nothing depends on its end.
  description: text.nullish().transform((value) => (value ?? '').slice(0, DESCRIPTION_MAX)),
  author,
};

const yamlSchema = z.looseObject({
  ...fields,
  tags: texts,
  kind: short(NAME_MAX)
    .nullish()
    .transform((value) => value ?? undefined),
  skills: texts,
  rules: texts,
  prompt_fragments: texts,
  hooks: texts,
  adapters: texts,
  runtimes: texts.refine((list) => list.length <= 100, 'must have at most 100 entries'),
  hot_reload: z
    .boolean()
    .nullish()
    .transform((value) => value ?? undefined),
});
const claudeSchema = z.looseObject({ ...fields, keywords: texts });
const skillSchema = z.looseObject({
  ...fields,
  metadata: z.looseObject({ version: versionText.optional() }).nullish(),
});

/** The required and optional fields of each manifest file. */
export const manifestSchemas = {
  'plugin.yaml': yamlSchema,
  '.claude-plugin/plugin.json': claudeSchema,
  'SKILL.md': skillSchema,
} as const satisfies Record<ManifestFile, z.ZodType>;

/** The fields of a manifest that Airlock uses. Other keys stay in the file. */
export type Manifest = {
  file: ManifestFile;
  name: string;
  version: string;
  description: string;
  author: string | undefined;
  tags: string[];
  kind: string | undefined;
  skills: string[];
  rules: string[];
  promptFragments: string[];
  hooks: string[];
  adapters: string[];
  /** Runtimes that can run the plugin, `_` for `-`; empty means any. */
  runtimes: string[];
  /** `false`: no change of this plugin is ever hot. */
  hotReload: boolean | undefined;
};

export type ManifestReading = { ok: true; manifest: Manifest } | { ok: false; why: string };

/** Reads the text of a manifest file. Never throws: `why` says what is wrong. */
export function readManifest(file: ManifestFile, source: string): ManifestReading {
  try {
    return { ok: true, manifest: PARSERS[file](source) };
  } catch (error) {
    const why = error instanceof z.ZodError ? schemaErrorOf(error) : (error as Error).message;
    return { ok: false, why: why.replaceAll(/\s*\n\s*/g, ' ').slice(0, 500) };
  }
}

const blank = {
  tags: [],
  kind: undefined,
  skills: [],
  rules: [],
  promptFragments: [],
  hooks: [],
  adapters: [],
  runtimes: [],
  hotReload: undefined,
};

const PARSERS: Record<ManifestFile, (source: string) => Manifest> = {
  'plugin.yaml': (source) => {
    const yaml = yamlSchema.parse(yamlOf(source));
    return {
      file: 'plugin.yaml',
      name: yaml.name,
      version: yaml.version,
      description: yaml.description,
      author: yaml.author,
      tags: yaml.tags,
      kind: yaml.kind,
      skills: yaml.skills,
      rules: yaml.rules,
      promptFragments: yaml.prompt_fragments,
      hooks: yaml.hooks,
      adapters: yaml.adapters,
      runtimes: yaml.runtimes.map(runtimeName),
      hotReload: yaml.hot_reload,
    };
  },
  '.claude-plugin/plugin.json': (source) => {
    const { name, version, description, author: by, keywords } = claudeSchema.parse(JSON.parse(source));
    return {
      ...blank,
      file: '.claude-plugin/plugin.json',
      name,
      version,
      description,
      author: by,
      tags: keywords,
    };
  },
  'SKILL.md': (source) => {
    const skill = skillSchema.parse(yamlOf(frontMatter(source)));
    const version = skill.metadata?.version ?? skill.version;
    const { name, description, author: by } = skill;
    return {
      ...blank,
      file: 'SKILL.md',
      name,
      version,
      description,
      author: by,
      kind: 'skill',
      skills: [name],
    };
  },
};

/** YAML 1.2 without custom tags and with few aliases: a file of unknown origin must not cost more than its size. */
function yamlOf(source: string): unknown {
  assertModest(source);
  const document = parseDocument(source, { schema: 'core' });
  const [error] = document.errors;
  if (error !== undefined) {
    throw error;
  }
  // As a number, version 1.10 would be 1.1.
  const version: unknown = isMap(document.contents) ? document.contents.get('version', true) : undefined;
  if (isScalar(version) && typeof version.value === 'number') {
    version.value = version.source;
  }
  return document.toJS({ maxAliasCount: 20 });
}

/** Bounds the cost of {@link parseDocument}. The lexer is neither recursive nor more than linear. */
function assertModest(source: string): void {
  const parser = new Parser();
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(source)) {
    lexemes += 1;
    Array.from(parser.next(lexeme));
    if (parser.stack.length > NESTING_MAX) {
      throw new Error(`it is nested more than ${NESTING_MAX} levels deep`);
    }
    if (lexemes > LEXEMES_MAX) {
      throw new Error(`it holds more than ${LEXEMES_MAX} words and signs`);
    }
  }
}

/**
 * The YAML between the two `---` lines at the head of a SKILL.md.
 * @throws Error if there is none.
 */
export function frontMatter(markdown: string): string {
  const match = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(markdown);
  if (match?.[1] === undefined) {
    throw new Error('it has no front matter between two lines of "---"');
  }
  return match[1];
}

/** Runtime names in one spelling: `claude-code` and `claude_code` are the same runtime. */
export const runtimeName = (name: string): string => name.toLowerCase().replaceAll('-', '_');

/** Whether a plugin says that it runs on this runtime. An unknown runtime (undefined) and an empty list match everything. */
export function supportsRuntime(manifest: Manifest, runtime: string | undefined): boolean {
  return (
    runtime === undefined ||
    manifest.runtimes.length === 0 ||
    manifest.runtimes.includes(runtimeName(runtime))
  );
}

/** Warnings about the front matter of a `skills/<name>/SKILL.md`: a skill without a name or description is not found. */
export function skillWarnings(path: string, markdown: string): string[] {
  let front: unknown;
  try {
    front = yamlOf(frontMatter(markdown));
  } catch (error) {
    return [`${path}: ${(error as Error).message.split('\n')[0] ?? 'unreadable front matter'}`];
  }
  const has = (key: string): boolean =>
    typeof front === 'object' &&
    front !== null &&
    typeof (front as Record<string, unknown>)[key] === 'string';
  return ['name', 'description']
    .filter((key) => !has(key))
    .map((key) => `${path}: its front matter has no ${key}`);
}
