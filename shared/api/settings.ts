/**
 * The one table of settings: a flag over an `AIRLOCK_*` variable over a default. Pure; whoever starts the process
 * hands in its flags and environment.
 */
import * as z from 'zod';

import { Fault } from './fault.ts';

/** Timers count milliseconds in 32 bits, and take anything beyond for almost nothing. */
const SECONDS_MAX = 2_000_000;

const UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };
const number = (what: string): z.ZodType<number, string> =>
  z
    .string()
    .regex(/^\d{1,12}$/, `must be ${what}`)
    .transform(Number);
const bytes: z.ZodType<number, string> = z
  .string()
  .regex(/^\d{1,12}\s*(?:[KMG](?:iB)?)?$/, 'must be a number of bytes such as 1048576, 512K, 100M or 2G')
  .transform((text) => {
    const [, count = '', unit = ''] = /^(\d+)\s*([KMG]?)/.exec(text) ?? [];
    return Number(count) * (UNITS[unit] ?? 1);
  })
  .refine(Number.isSafeInteger, 'is more bytes than can be counted');
const millis: z.ZodType<number, string> = number('a number of seconds')
  .refine((seconds) => seconds <= SECONDS_MAX, `must be at most ${SECONDS_MAX} seconds`)
  .transform((seconds) => seconds * 1000);
const list: z.ZodType<string[], string> = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);

const oneOf = <const T extends string>(names: readonly T[]): z.ZodType<T, string> =>
  z.enum(names, { error: `must be one of ${names.join(', ')}` });

/** `host:port`; an IPv6 host stands in brackets; port 0 lets the system choose. */
const port = z
  .string()
  .regex(
    /^(?:\[[0-9a-fA-F:]+\]|[^:[\]\s]+):\d{1,5}$/,
    'must be host:port, such as 127.0.0.1:7423 or [::1]:7423, or unix:/path',
  )
  .transform((text) => {
    const colon = text.lastIndexOf(':');
    return { host: text.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(text.slice(colon + 1)) };
  })
  .refine((to) => to.port <= 65_535, 'has a port beyond 65535');

/** The system takes no more than 107 bytes, of which some are for the place in which the socket is made. */
const SOCKET_PATH_BYTES = 90;
const socketPath = z
  .string()
  .regex(/^unix:\/[^\0]*[^\0/]$/, 'must be unix:/path, with an absolute path')
  .refine(
    (text) => new TextEncoder().encode(text.slice(5)).length <= SOCKET_PATH_BYTES,
    `has a path of more than ${SOCKET_PATH_BYTES} bytes`,
  )
  .transform((text) => ({ path: text.slice(5) }));

/** An address to listen on. */
type ListenAddress = { host: string; port: number } | { path: string };
const address: z.ZodType<ListenAddress, string> = z.string().transform((text, context): ListenAddress => {
  const parsed = (text.startsWith('unix:') ? socketPath : port).safeParse(text);
  if (parsed.success) {
    return parsed.data;
  }
  context.addIssue(parsed.error.issues[0]?.message ?? 'is not valid');
  return z.NEVER;
});

const owner = z
  .string()
  .regex(/^\d{1,9}:\d{1,9}$/, 'must be uid:gid in numbers, such as 1000:1000')
  .transform((text) => {
    const [uid = '', gid = ''] = text.split(':');
    return { uid: Number(uid), gid: Number(gid) };
  });

/** Setting → flag, environment variable, schema of its text, default as text, what it is for. */
export const settings = {
  root: setting(
    'AIRLOCK_ROOT',
    z.string().min(1),
    '/configs/plugins',
    'the directory that holds the plugins',
  ),
  listen: setting(
    'AIRLOCK_LISTEN',
    address,
    '127.0.0.1:7423',
    'host:port, or unix:/path, on which the agent listens',
  ),
  tlsCert: file('AIRLOCK_TLS_CERT', 'PEM file with the certificate of the agent, which then speaks TLS'),
  tlsKey: file('AIRLOCK_TLS_KEY', 'PEM file with the key of that certificate'),
  tlsClientCa: file('AIRLOCK_TLS_CLIENT_CA', 'PEM file: clients must show a certificate that it has signed'),
  allowOrigin: setting('AIRLOCK_ALLOW_ORIGIN', list, '', 'origins of browsers that are served'),
  allowHost: setting(
    'AIRLOCK_ALLOW_HOST',
    list,
    '',
    'more names in the Host header that are served; on the loopback its own names always are',
  ),
  loadedDir: setting(
    'AIRLOCK_LOADED_DIR',
    z.string().min(1),
    undefined,
    'where runtimes say what they have loaded, if not in .loaded below the root',
  ),
  restartCommand: setting(
    'AIRLOCK_RESTART_COMMAND',
    z.string().min(1),
    undefined,
    'shell command that restarts the runtime after cold changes',
  ),
  restartTimeout: setting(
    'AIRLOCK_RESTART_SECONDS',
    millis,
    '60',
    'seconds after which the restart command and its children are killed',
  ),
  watch: setting(
    'AIRLOCK_WATCH',
    oneOf(['on', 'polling', 'off']),
    'on',
    'whether edits by hand are told: on, polling (for file systems that tell nothing), off',
  ),
  tokenFile: setting(
    'AIRLOCK_TOKEN_FILE',
    z.string().min(1),
    undefined,
    'file with one "read|write TOKEN [label]" a line',
  ),
  workspace: setting(
    'AIRLOCK_WORKSPACE',
    z.string().min(1).max(256),
    undefined,
    'id of the workspace, said in hello',
  ),
  runtime: setting(
    'AIRLOCK_RUNTIME',
    z.string().min(1).max(128),
    undefined,
    'runtime of the workspace; plugins that exclude it are refused',
  ),
  manifest: setting(
    'AIRLOCK_MANIFEST',
    oneOf(['required', 'optional']),
    'required',
    'whether a plugin must have a manifest',
  ),
  ignore: setting('AIRLOCK_IGNORE', list, '', 'more names that are no part of a plugin, with commas between'),
  owner: setting('AIRLOCK_OWNER', owner, undefined, 'uid:gid that installed files are given'),
  keep: setting('AIRLOCK_KEEP', number('a number of snapshots'), '1', 'snapshots kept per plugin'),
  keepDays: setting(
    'AIRLOCK_KEEP_DAYS',
    number('a number of days').refine((days) => days <= 36_500, 'must be at most 36500 days'),
    '7',
    'days after which a snapshot goes though there is room for it',
  ),
  durability: setting(
    'AIRLOCK_DURABILITY',
    oneOf(['full', 'none']),
    'full',
    'none leaves out the syncs: for tests and tmpfs, where a power cut takes everything anyway',
  ),
  lock: setting(
    'AIRLOCK_LOCK_SECONDS',
    millis,
    '30',
    'seconds that an operation waits for another process that works on the plugin',
  ),
  bootFrom: setting(
    'AIRLOCK_BOOT_FROM',
    z.string().min(1),
    undefined,
    'directory with bundles that are installed when the agent starts',
  ),
  maxPacked: setting('AIRLOCK_MAX_PACKED', bytes, '100M', 'largest bundle that is accepted'),
  maxUnpacked: setting('AIRLOCK_MAX_UNPACKED', bytes, '256M', 'most that a bundle may unpack to'),
  maxEntries: setting(
    'AIRLOCK_MAX_ENTRIES',
    number('a number of entries'),
    '50000',
    'most entries that a bundle may hold',
  ),
  maxDepth: setting('AIRLOCK_MAX_DEPTH', number('a number of levels'), '32', 'deepest path that is accepted'),
  maxRatio: setting(
    'AIRLOCK_MAX_RATIO',
    number('a ratio'),
    '200',
    'most that a bundle may expand, once past 1 MiB',
  ),
  stall: setting(
    'AIRLOCK_STALL_SECONDS',
    millis,
    '30',
    'seconds without a byte after which an upload is given up',
  ),
  resume: setting('AIRLOCK_RESUME_SECONDS', millis, '60', 'seconds that an upload outlives its connection'),
  deadline: setting(
    'AIRLOCK_DEADLINE_SECONDS',
    millis,
    '300',
    'seconds that an install may take until its swap',
  ),
  logLevel: setting(
    'AIRLOCK_LOG_LEVEL',
    oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    'info',
    'what the log holds',
  ),
  to: setting(
    'AIRLOCK_URL',
    z.string().regex(/^(?:wss?:\/\/|ws\+unix:\/)/, 'must begin with ws://, wss:// or ws+unix:/'),
    undefined,
    'URL of an agent, such as ws://127.0.0.1:7423 or ws+unix:/run/airlock.sock',
  ),
  ca: file('AIRLOCK_CA', 'PEM file with the authority that the certificate of the agent is checked against'),
  cert: file('AIRLOCK_CERT', 'PEM file with the certificate that the agent is shown'),
  key: file('AIRLOCK_KEY', 'PEM file with the key of that certificate'),
} as const;

/** The environment variable of a token; there is no flag, for arguments are seen by everybody on the machine. */
export const TOKEN_VARIABLE = 'AIRLOCK_TOKEN';

type Setting<T, D> = { env: string; schema: z.ZodType<T, string>; fallback: D; help: string };

function setting<T, D extends string | undefined>(
  env: string,
  schema: z.ZodType<T, string>,
  fallback: D,
  help: string,
): Setting<T, D> {
  return { env, schema, fallback, help };
}

function file(env: string, help: string): Setting<string, undefined> {
  return setting(env, z.string().regex(/^[^\r\n]+$/, 'must be the path of a file'), undefined, help);
}

export type SettingName = keyof typeof settings;
type ValueOf<S> = S extends Setting<infer T, infer D> ? (D extends string ? T : T | undefined) : never;
export type Settings<K extends SettingName> = { [N in K]: ValueOf<(typeof settings)[N]> };

/** The flag of a setting: `maxPacked` is `--max-packed`. */
export const flagOf = (name: SettingName): string =>
  `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/**
 * Reads the named settings.
 *
 * @param flags by setting name, as text.
 * @throws Fault INVALID_PARAMS that names every bad value, where it came from and what it must be.
 */
export function readSettings<K extends SettingName>(
  names: readonly K[],
  flags: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string | undefined>>,
): Settings<K> {
  const values: Record<string, unknown> = {};
  const wrong: string[] = [];
  for (const name of names) {
    const { env: variable, schema, fallback }: Setting<unknown, string | undefined> = settings[name];
    const flag = flags[name];
    const given = env[variable] === '' ? undefined : env[variable];
    const text = flag ?? given ?? fallback;
    const parsed = text === undefined ? undefined : schema.safeParse(text);
    if (parsed?.success === false) {
      const origin = flag === undefined ? variable : flagOf(name);
      // Keys and addresses with tokens are pasted into the wrong place: what looks like one is not repeated.
      const shown = /^[^\r\n?@]{0,100}$/.test(text ?? '') ? `is "${text ?? ''}" but` : 'is set, but';
      wrong.push(`${origin} ${shown} ${parsed.error.issues[0]?.message ?? 'is not valid'}`);
    }
    values[name] = parsed?.data;
  }
  if (wrong.length > 0) {
    throw new Fault('INVALID_PARAMS', wrong.join('; '), { hint: 'See "airlock <command> --help"' });
  }
  // The loop has filled each name with what its own schema made of it; the compiler cannot follow that.
  return values as Settings<K>;
}
