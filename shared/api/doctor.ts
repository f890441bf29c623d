/** What `airlock doctor` looks at, and what it says. */
import * as z from 'zod';

/**
 * All checks, in the order in which they are shown. `root`: made on the disk, in a thread. `process`: made by the process
 * that answers, the agent or the command, about itself.
 */
export const checks = {
  settings: { of: 'process', about: 'the settings belong together, so that an agent starts with them' },
  node: { of: 'root', about: 'the version of Node' },
  koffi: { of: 'root', about: 'koffi is there, for the calls of Linux that Node lacks' },
  root: { of: 'root', about: 'the root is there, is a directory, and can be listed' },
  agent: {
    of: 'process',
    about: 'which agent serves the root; only the command asks that, an agent knows it',
  },
  owner: { of: 'root', about: 'who owns the root and its closed directories, and who else may write there' },
  mounts: { of: 'root', about: 'the root is mounted as a whole, and not a plugin of it' },
  'file-system': { of: 'root', about: 'everything below the root is on one file system' },
  writable: { of: 'root', about: 'files and directories can be made, renamed and removed' },
  exchange: { of: 'root', about: 'two directories can change places, so that no plugin is ever absent' },
  overlay: { of: 'root', about: 'no live plugin is in a lower layer of an overlay' },
  sync: { of: 'root', about: 'one call makes everything durable' },
  durability: { of: 'root', about: 'what is acknowledged survives a power cut' },
  locks: {
    of: 'process',
    about: 'processes exclude each other by flock, and the lock directory can be used',
  },
  space: {
    of: 'root',
    about: 'there is room, in bytes and in inodes, for the largest bundle that is accepted',
  },
  clock: { of: 'root', about: 'the clock agrees with the file system and with the newest install' },
  watches: { of: 'root', about: 'the system has file watches for every directory below the root' },
  watch: { of: 'process', about: 'the agent sees edits by hand; only an agent answers that' },
  loaded: { of: 'root', about: 'the runtime can report what it has loaded' },
  plugins: { of: 'root', about: 'which plugins the gate refuses, and what is no plugin' },
  troubles: { of: 'root', about: 'what only an operator can repair, and which plugins are held' },
  leftovers: { of: 'root', about: 'what a crash, or somebody else, has left in the directories of Airlock' },
  token: {
    of: 'process',
    about: 'the tokens are there, are long enough, and can be read by nobody else',
  },
  tls: { of: 'process', about: 'certificates and keys can be read, belong together, and have not expired' },
  listen: { of: 'process', about: 'the address to listen on' },
  dial: { of: 'process', about: 'the connection to the platform, for an agent that dials out' },
} as const satisfies Record<string, { of: 'root' | 'process'; about: string }>;

export type CheckName = keyof typeof checks;
type CheckOf<O extends 'root' | 'process'> = {
  [N in CheckName]: (typeof checks)[N]['of'] extends O ? N : never;
}[CheckName];
export type RootCheck = CheckOf<'root'>;
export type ProcessCheck = CheckOf<'process'>;

export const isRootCheck = (name: CheckName): name is RootCheck => checks[name].of === 'root';
/** The names, in order. */
// The keys of an object literal are these.
export const checkNames = Object.keys(checks) as CheckName[];

const levelSchema = z.enum(['ok', 'note', 'warning', 'error']);
export type CheckLevel = z.infer<typeof levelSchema>;

const checkResultSchema = z.object({
  /** The name of the check. An agent of another version may have others. */
  check: z.string(),
  /** `note`: nobody has to act. `warning`: somebody should. `error`: a promise does not hold, or installs fail. */
  level: levelSchema,
  found: z.string(),
  /** What follows from it. */
  why: z.string().optional(),
  /** What to do; always there with a warning and an error. */
  fix: z.string().optional(),
});
export type CheckResult = z.infer<typeof checkResultSchema>;

const settingInfoSchema = z.object({
  flag: z.string().optional(),
  env: z.string(),
  /** The value that counts, as text; that of a secret is not shown. */
  value: z.string(),
  from: z.enum(['flag', 'variable', 'default']),
});
export type SettingInfo = z.infer<typeof settingInfoSchema>;

export const diagnosisSchema = z.object({
  /** The version of the agent that answers; absent: a command looks at a root by itself. */
  agent: z.string().optional(),
  root: z.string(),
  /** The worst level of all checks. */
  level: levelSchema,
  checks: z.array(checkResultSchema),
  /** The settings of the agent, or those with which an agent would start in the place of the command. */
  settings: z.array(settingInfoSchema),
});
export type Diagnosis = z.infer<typeof diagnosisSchema>;

/** What a check has found. Who finds something bad says what follows from it and what to do. */
export type CheckFound =
  | { level: 'ok'; found: string }
  | { level: 'note'; found: string; why?: string; fix?: string }
  | { level: 'warning' | 'error'; found: string; why: string; fix: string };

export const ok = (found: string): CheckFound => ({ level: 'ok', found });
export const note = (found: string, why?: string, fix?: string): CheckFound => ({
  level: 'note',
  found,
  ...(why === undefined ? {} : { why }),
  ...(fix === undefined ? {} : { fix }),
});
export const warning = (found: string, why: string, fix: string): CheckFound => ({
  level: 'warning',
  found,
  why,
  fix,
});
export const wrong = (found: string, why: string, fix: string): CheckFound => ({
  level: 'error',
  found,
  why,
  fix,
});

/** The worst of some levels. */
export const worstOf = (levels: readonly CheckLevel[]): CheckLevel =>
  levelSchema.options.findLast((level) => levels.includes(level)) ?? 'ok';

/** A few names, quoted, and how many more there are. */
export function someOf(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most).map((name) => `"${name}"`);
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

/** How many settings are not at their defaults. */
export function settingsText(settings: readonly SettingInfo[]): string {
  const set = settings.filter(({ from }) => from !== 'default');
  return `${set.length} of ${settings.length} settings are set; the others have their defaults`;
}
