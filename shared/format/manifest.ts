/** The manifest of a plugin, in each of its kinds: `plugin.yaml`, the `plugin.json` of Agent Plugins and of Claude Code, a root `SKILL.md`. */
import * as z from 'zod';

import { attempt } from '../attempt.ts';
import { schemaErrorOf } from '../schema-error.ts';
import type { FileReading } from './layout.ts';
import { frontMatterOf, jsonOf, yamlOf } from './manifest-text.ts';

/** The files that can be a manifest. The first that is one counts: see {@link isManifest}. */
export const MANIFEST_FILES = [
  'plugin.yaml',
  'plugin.json',
  '.claude-plugin/plugin.json',
  'SKILL.md',
] as const;
export type ManifestFile = (typeof MANIFEST_FILES)[number];

const LONGEST_FIRST = MANIFEST_FILES.toSorted((a, b) => b.length - a.length);

/** Which of these files a path of any directory ends with: `.claude-plugin/plugin.json` rather than `plugin.json`. */
export const manifestAt = (path: string): ManifestFile | undefined =>
  LONGEST_FIRST.find((file) => path === file || path.endsWith(`/${file}`));

/** What a plugin must have, for people. */
export const MANIFESTS_SAID =
  'a plugin.yaml, a plugin.json of Agent Plugins 1.0.0 (as its "$schema" says), a .claude-plugin/plugin.json or a SKILL.md';

/** Names the format of a root `plugin.json`. It is compared, never fetched. */
const AGENT_PLUGINS = 'https://agent-plugins.org/schemas/1.0.0/plugin.schema.json';

/** The longest values, in characters. What goes into markers, lists and errors must be small enough for one frame. */
const NAME_MAX = 128;
const VERSION_MAX = 256;
const DESCRIPTION_MAX = 1024;

/** A larger manifest is refused without reading it. */
export const MANIFEST_MAX_BYTES = 1024 * 1024;

const text = z.union([z.string(), z.number().transform(String)], {
  error: ({ input }) => (input === undefined ? 'is missing' : 'must be a text'),
});
const texts = z
  .union([z.array(text), text.transform((one) => [one])], { error: 'must be a list of texts, or one text' })
  .nullish()
  .transform((list) => list ?? []);

const short = (most: number): typeof text =>
  text.refine((value) => value.length <= most, `must have at most ${most} characters`);
const versionText = short(VERSION_MAX);

const names = texts.describe('a list of texts, or one text');
const fields = {
  name: short(NAME_MAX).refine((value) => value !== '', 'must not be empty'),
  version: versionText.nullish().transform((value) => value ?? '0.0.0'),
  // A long description is cut, not refused, because nothing depends on its end.
  description: z
    .string()
    .nullish()
    .transform((value) => (value ?? '').slice(0, DESCRIPTION_MAX))
    .describe('a text'),
  author: z
    .union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)])
    .nullish()
    .transform((value) => value ?? undefined)
    .describe('a text, or a map with the text "name"'),
};

const yamlSchema = z.looseObject({
  ...fields,
  tags: names,
  kind: short(NAME_MAX)
    .nullish()
    .transform((value) => value ?? undefined)
    .describe(`a text of at most ${NAME_MAX} characters`),
  skills: names,
  rules: names,
  prompt_fragments: names,
  hooks: names,
  adapters: names,
  runtimes: texts.refine((list) => list.length <= 100, 'must have at most 100 entries'),
  hot_reload: z
    .boolean()
    .nullish()
    .transform((value) => value ?? undefined),
});
const claudeSchema = z.looseObject({
  ...fields,
  keywords: z
    .array(text)
    .nullish()
    .transform((list) => list ?? [])
    .describe('a list of texts'),
});
const skillSchema = z.looseObject({
  ...fields,
  metadata: z.looseObject({ version: versionText.nullish() }).nullish().describe('a map'),
});

// As strict as the specification: only unknown fields and "extensions" of another form are not fatal.
const agentPluginsSchema = z.looseObject({
  $schema: z.literal(AGENT_PLUGINS),
  name: z
    .string()
    .max(64)
    .regex(
      /^(?!.*(?:--|\.\.))[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/,
      'must be a name as Agent Plugins 1.0.0 has it',
    ),
  version: z.string().max(VERSION_MAX).optional(),
  description: z.string().optional(),
  author: z
    .strictObject({ name: z.string().optional(), email: z.string().optional(), url: z.string().optional() })
    .optional(),
  homepage: z.string().optional(),
  repository: z.string().optional(),
  license: z.string().optional(),
  keywords: z.array(z.string()).optional(),
  extensions: z.record(z.string(), z.unknown()).optional().describe('a map'),
});

/** The required and optional fields of each manifest file. */
export const manifestSchemas = {
  'plugin.yaml': yamlSchema,
  'plugin.json': agentPluginsSchema,
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

/** The warnings name the fields that are left out because their form is not a known one. */
export type FoundManifest = { manifest: Manifest; warnings: string[] };
export type ManifestReading = ({ ok: true } & FoundManifest) | { ok: false; why: string };

/** Whether a file is a manifest. Many tools have a `plugin.json` at the root, so that one must say what it is. */
export function isManifest(file: ManifestFile, reading: FileReading): boolean {
  if (file !== 'plugin.json') {
    return reading.kind !== 'absent';
  }
  const json = reading.kind === 'text' ? attempt((): unknown => JSON.parse(reading.text)) : undefined;
  return typeof json === 'object' && json !== null && '$schema' in json && json.$schema === AGENT_PLUGINS;
}

/** Reads the text of a manifest file. Never throws: `why` says what is wrong. */
export function readManifest(file: ManifestFile, source: string): ManifestReading {
  try {
    const { manifest, warnings } = PARSERS[file](source);
    return { ok: true, manifest, warnings: warnings.map((warning) => `${file}: ${warning}`) };
  } catch (error) {
    const why = error instanceof z.ZodError ? schemaErrorOf(error) : (error as Error).message;
    return { ok: false, why: why.replaceAll(/\s*\n\s*/g, ' ').slice(0, 500) };
  }
}

/** Airlock acts on these fields. A wrong value of one of them refuses the plugin. */
const DECISIVE: ReadonlySet<string> = new Set([
  'name',
  'version',
  'runtimes',
  'hot_reload',
  'metadata.version',
]);

type IsDecisive = (issue: z.core.$ZodIssue) => boolean;

const isDecisive: IsDecisive = ({ path: [key, below] }) =>
  key === undefined || DECISIVE.has(String(key)) || DECISIVE.has(`${String(key)}.${String(below)}`);

/**
 * Reads the fields of a manifest. Other fields than the decisive ones are left out with a warning if their form is not known.
 * @throws ZodError for decisive fields.
 */
function fieldsOf<Shape extends Readonly<Record<string, z.ZodType>>>(
  schema: z.ZodObject<Shape, z.core.$loose>,
  source: unknown,
  decides: IsDecisive = isDecisive,
): { read: z.output<typeof schema>; warnings: string[] } {
  const first = schema.safeParse(source);
  if (first.success) {
    return { read: first.data, warnings: [] };
  }
  const decisive = first.error.issues.filter(decides);
  if (decisive.length > 0) {
    throw new z.ZodError(decisive);
  }
  const wrong = new Set(first.error.issues.map(({ path }) => String(path[0])));
  const rest = Object.entries(source as object).filter(([key]) => !wrong.has(key));
  return {
    read: schema.parse(Object.fromEntries(rest)),
    warnings: [...wrong].map(
      (key) => `"${key}" is left out: it must be ${schema.shape[key]?.description ?? 'of another form'}`,
    ),
  };
}

type Parsed = { manifest: Manifest; warnings: string[] };

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

const PARSERS: Record<ManifestFile, (source: string) => Parsed> = {
  'plugin.yaml': (source) => {
    const { read, warnings } = fieldsOf(yamlSchema, yamlOf(source));
    const { name, version, description, author, tags, kind, skills, rules, hooks, adapters } = read;
    const manifest: Manifest = {
      file: 'plugin.yaml',
      name,
      version,
      description,
      author,
      tags,
      kind,
      skills,
      rules,
      promptFragments: read.prompt_fragments,
      hooks,
      adapters,
      runtimes: read.runtimes.map(runtimeName),
      hotReload: read.hot_reload,
    };
    return { manifest, warnings };
  },
  'plugin.json': (source) => {
    const { read, warnings } = fieldsOf(
      agentPluginsSchema,
      JSON.parse(source),
      ({ path }) => path[0] !== 'extensions',
    );
    const { name, version = '0.0.0', author, keywords = [] } = read;
    const description = (read.description ?? '').slice(0, DESCRIPTION_MAX);
    const unknown = Object.keys(read).filter((key) => !(key in agentPluginsSchema.shape));
    const manifest: Manifest = {
      ...blank,
      file: 'plugin.json',
      name,
      version,
      description,
      author: author?.name,
      tags: keywords,
    };
    return {
      manifest,
      warnings: [
        ...warnings,
        ...unknown.map((key) => `"${key}" is left out: Agent Plugins 1.0.0 does not know it`),
      ],
    };
  },
  '.claude-plugin/plugin.json': (source) => {
    const { read, warnings } = fieldsOf(claudeSchema, jsonOf(source));
    const { name, version, description, author, keywords } = read;
    const file = '.claude-plugin/plugin.json';
    return { manifest: { ...blank, file, name, version, description, author, tags: keywords }, warnings };
  },
  'SKILL.md': (source) => {
    const front = frontMatterOf(source);
    const { read, warnings } = fieldsOf(skillSchema, front.fields);
    const { name, description, author } = read;
    const version = read.metadata?.version ?? read.version;
    const own = { name, version, description, author, kind: 'skill', skills: [name] };
    return { manifest: { ...blank, file: 'SKILL.md', ...own }, warnings: [...front.warnings, ...warnings] };
  },
};

/** Runtime names in one spelling: `claude-code` and `claude_code` are the same runtime. */
export const runtimeName = (name: string): string => name.toLowerCase().replaceAll('-', '_');

/** Whether this stands for the runtime of an external workspace, of which no more is known. */
export const isExternalRuntime = (runtime: string | undefined): boolean =>
  runtime !== undefined && runtimeName(runtime) === 'external';

/** Whether a plugin says that it runs on this runtime. An unknown runtime (undefined) and an empty list match everything. */
export function supportsRuntime(manifest: Manifest, runtime: string | undefined): boolean {
  return (
    runtime === undefined ||
    isExternalRuntime(runtime) ||
    manifest.runtimes.length === 0 ||
    manifest.runtimes.includes(runtimeName(runtime))
  );
}
