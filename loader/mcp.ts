/** Reads the `mcp.json` of an Agent Plugin, as Agent Plugins 1.0.0 has it. Pure. */
import { join } from 'node:path';

import * as z from 'zod';

import { attempt } from '../shared/attempt.ts';
import { schemaErrorOf } from '../shared/schema-error.ts';
import type { Plugin } from './plugin.ts';
import { expandVariables } from './variables.ts';

/** Names the format. It is compared, never fetched. */
const MCP = 'https://agent-plugins.org/schemas/1.0.0/mcp.schema.json';

const fileSchema = z.strictObject({
  $schema: z.literal(MCP),
  mcpServers: z.record(z.string(), z.unknown()),
});

const RESERVED = /^PLUGIN_(?:ROOT|DATA)$/;
const stdioSchema = z.strictObject({
  type: z.literal('stdio'),
  command: z
    .string()
    .regex(
      /^(?:\.\/.+|[^/\\\s]+)$/,
      'must be a name without slashes and spaces, or a path that begins with "./"',
    ),
  args: z.array(z.string()).default([]),
  env: z
    .record(z.string(), z.string())
    .default({})
    .refine(
      (env) => !Object.keys(env).some((key) => RESERVED.test(key)),
      'must not set PLUGIN_ROOT or PLUGIN_DATA',
    ),
  cwd: z
    .string()
    .regex(
      /^(?:\.\/|\$\{PLUGIN_(?:ROOT|DATA)\}(?:\/|$))/,
      'must begin with "./", "${PLUGIN_ROOT}" or "${PLUGIN_DATA}"',
    )
    .default('${PLUGIN_ROOT}'),
});

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(?:\.\d+){3}$/.test(host);
const isEndpoint = (text: string): boolean => {
  const url = attempt(() => new URL(text));
  return (
    url !== undefined &&
    (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) &&
    `${url.username}${url.password}${url.hash}` === ''
  );
};
const isHeaders = (headers: Readonly<Record<string, string>>): boolean => {
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const values = Object.values(headers);
  return (
    new Set(names).size === names.length &&
    names.every((name) => TOKEN.test(name)) &&
    values.every((value) => value === value.trim() && /^[\t\x20-\x7e\x80-\xff]*$/.test(value))
  );
};
const remoteSchema = z.strictObject({
  type: z.enum(['streamable-http', 'sse']),
  url: z
    .string()
    .refine(isEndpoint, 'must be an https URL, or http on the loopback, without user and fragment'),
  headers: z
    .record(z.string(), z.string())
    .default({})
    .refine(isHeaders, 'must be fields of HTTP, each once'),
});

const serverSchema = z.discriminatedUnion('type', [stdioSchema, remoteSchema]);

/** A server of a plugin, ready to be started or connected. */
export type McpServer = z.output<typeof serverSchema>;

export type McpServers = {
  servers: Record<string, McpServer>;
  /** What is left out, and why. The other servers and the skills are not affected. */
  warnings: string[];
};

/**
 * Reads the text of the plugin's `mcp.json`. Of a server that is started as a process the variables are replaced in `args`,
 * the values of `env` and `cwd`; `command` and `cwd` are absolute, unless `command` is a name to search for; and `env` holds
 * the variables, to be laid over the runtime's own. The runtime makes `dataDir` before it starts a process.
 *
 * @param text read with `loader.read`, so that it is of one version with the rest. @returns nothing, with a warning, if the
 *   file is not valid. Never throws.
 * @example
 * const text = await loader.read(plugin, (root) => readFile(join(root, 'mcp.json'), 'utf8'));
 * const { servers, warnings } = mcpServersOf(plugin, text);
 */
export function mcpServersOf(
  plugin: Pick<Plugin, 'path' | 'dataDir' | 'variables'>,
  text: string,
): McpServers {
  const file = fileSchema.safeParse(attempt((): unknown => JSON.parse(text)));
  if (!file.success) {
    return { servers: {}, warnings: [`mcp.json is left out: ${schemaErrorOf(file.error)}`] };
  }
  const found: McpServers = { servers: {}, warnings: [] };
  for (const [name, entry] of Object.entries(file.data.mcpServers)) {
    const read = serverSchema.safeParse(entry);
    const server = read.success ? placed(plugin, read.data) : schemaErrorOf(read.error);
    if (typeof server === 'string') {
      found.warnings.push(`mcp.json: the server ${JSON.stringify(name)} is left out: ${server}`);
    } else {
      // A server may be called "__proto__".
      Object.defineProperty(found.servers, name, {
        value: server,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
  }
  return found;
}

/** The server with its paths and variables, or why it is left out. */
function placed(
  { path, dataDir, variables }: Pick<Plugin, 'path' | 'dataDir' | 'variables'>,
  server: McpServer,
): McpServer | string {
  if (server.type !== 'stdio') {
    return server;
  }
  const expand = (text: string): string => expandVariables(text, variables);
  const env = Object.entries(server.env).map(([key, value]) => [key, expand(value)] as const);
  const command = server.command.startsWith('./') ? join(path, server.command) : server.command;
  const cwd = server.cwd.startsWith('./') ? join(path, server.cwd) : join(expand(server.cwd));
  const around = server.cwd.startsWith('${PLUGIN_DATA}') ? dataDir : path;
  if (server.command.startsWith('./') && !command.startsWith(`${path}/`)) {
    return 'its "command" is outside the plugin';
  }
  if (!`${cwd}/`.startsWith(`${around}/`)) {
    return `its "cwd" is outside ${around}`;
  }
  return {
    ...server,
    command,
    cwd,
    args: server.args.map(expand),
    env: { ...Object.fromEntries(env), ...variables },
  };
}
