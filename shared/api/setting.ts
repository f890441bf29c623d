/**
 * What a setting is, and how settings are read. A flag overrides an `AIRLOCK_*` variable, and the variable overrides the
 * default. Pure: the caller passes flags and environment.
 */
import type * as z from 'zod';

import type { SettingInfo } from './doctor.ts';
import { Fault } from './fault.ts';

/**
 * The readers of settings. A setting names its readers in `of`; the generated docs and the help of a command use these
 * words.
 */
export const groups = {
  agent: 'the agent',
  work: 'commands that change a root themselves (`--root`)',
  loader: 'commands that read a root themselves (`--root`)',
  client: 'commands that ask an agent (`--to`)',
  pack: 'commands that pack a directory',
  boot: '`airlock boot`',
  pull: '`airlock pull` on a root itself (`--root`)',
  validate: '`airlock validate`',
} as const;
export type Group = keyof typeof groups;

/** The part of the configuration that holds a setting; undefined: its top level. */
export type Part = 'policy' | 'timeouts' | undefined;

/** One row of the table of settings. */
export type Setting<
  T = unknown,
  F extends string | undefined = string | undefined,
  G extends Group = Group,
  P extends Part = Part,
> = {
  /** The flag with its dashes; undefined: only the variable sets it. */
  flag: string | undefined;
  env: string;
  /** Who reads it. */
  of: readonly G[];
  /** Reads its text. */
  schema: z.ZodType<T, string>;
  /** A word for the text, or an example of its form. */
  unit: string;
  /** The default, as text; undefined: it may be absent. */
  fallback: F;
  /** What applies if it is absent, in words. */
  absent: string | undefined;
  /** What it decides, in one line. */
  help: string;
  part: P;
  /** Its value may hold a secret, so nobody is shown it. */
  isSecret: boolean;
};

type Row<T, F extends string | undefined, G extends Group, P extends Part> = {
  flag?: `--${string}`;
  env: `AIRLOCK_${string}`;
  of: readonly G[];
  schema: z.ZodType<T, string>;
  unit: string;
  fallback?: F;
  absent?: string;
  help: string;
  part?: P;
  isSecret?: boolean;
};

/**
 * Makes a row of the table; the types of the configuration are inferred from it.
 *
 * @example keep: setting({ flag: '--keep', env: 'AIRLOCK_KEEP', of: ['agent'], ...count, fallback: '1', help: '…' })
 */
export function setting<
  T,
  const G extends Group,
  const F extends string | undefined = undefined,
  const P extends Part = undefined,
>(row: Row<T, F, G, P>): Setting<T, F, G, P> {
  const { flag, fallback, absent, part, isSecret = false } = row;
  // A field that the row leaves out is undefined, as F and P say.
  return { ...row, flag, absent, fallback: fallback as F, part: part as P, isSecret };
}

/** A table of settings, or some rows of one. */
export type SettingTable = Readonly<Record<string, Setting>>;

type ValueOf<S> =
  S extends Setting<infer T, infer F, infer _G, infer _P> ? (F extends string ? T : T | undefined) : never;

/** The values of a table, by setting name. */
export type SettingValues<R> = { [N in keyof R]: ValueOf<R[N]> };

/** The rows that one of the groups reads. */
export type RowsOf<R extends SettingTable, G extends Group> = {
  [N in keyof R as [Extract<R[N]['of'][number], G>] extends [never] ? never : N]: R[N];
};

/** The rows in one part of the configuration. */
export type PartOf<R extends SettingTable, P extends Part> = {
  [N in keyof R as R[N]['part'] extends P ? N : never]: R[N];
};

/** The rows that one of the groups reads, in the order of the table. */
export function settingsOf<R extends SettingTable, G extends Group>(
  table: R,
  ...wanted: readonly G[]
): RowsOf<R, G> {
  const rows = Object.entries(table).filter(([, { of }]) => wanted.some((group) => of.includes(group)));
  // The filter is the condition of the type, which the compiler cannot derive from the entries.
  return Object.fromEntries(rows) as RowsOf<R, G>;
}

/** The values of one part of the configuration, from all values of a table. */
export function partOf<R extends SettingTable, P extends 'policy' | 'timeouts'>(
  table: R,
  values: SettingValues<R>,
  part: P,
): SettingValues<PartOf<R, P>> {
  const rows = Object.entries(table).filter(([, row]) => row.part === part);
  const found = rows.map(([name]) => [name, (values as Record<string, unknown>)[name]]);
  // As above: the filter is the condition of the type.
  return Object.fromEntries(found) as SettingValues<PartOf<R, P>>;
}

/** The value of the default. */
export const fallbackOf = <T>({ schema, fallback }: Setting<T, string>): T => schema.parse(fallback);

/** The default in words; empty if there is nothing to say. */
export const defaultText = ({ fallback, absent }: Setting): string => fallback ?? absent ?? '';

/** Texts by name: flags by setting name, or variables. */
export type Texts = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings of a table. An empty variable counts as none.
 *
 * @param flags by setting name, as text.
 * @throws Fault INVALID_PARAMS that names every bad value, where it comes from and what it must be.
 */
export function readSettings<R extends SettingTable>(table: R, flags: Texts, env: Texts): SettingValues<R> {
  const values: Record<string, unknown> = {};
  const wrong: string[] = [];
  for (const [name, { flag, env: variable, schema, fallback }] of Object.entries(table)) {
    const byFlag = flags[name];
    const byVariable = env[variable] === '' ? undefined : env[variable];
    const text = byFlag ?? byVariable ?? fallback;
    const parsed = text === undefined ? undefined : schema.safeParse(text);
    if (parsed?.success === false) {
      const origin = byFlag === undefined ? variable : (flag ?? name);
      // People paste keys, and addresses with tokens, into the wrong field. The error does not repeat text that looks
      // like one.
      const shown = /^[^\r\n?@]{0,100}$/.test(text ?? '') ? `is "${text ?? ''}" but` : 'is set, but';
      wrong.push(`${origin} ${shown} ${parsed.error.issues[0]?.message ?? 'is not valid'}`);
    }
    values[name] = parsed?.data;
  }
  if (wrong.length > 0) {
    throw new Fault('INVALID_PARAMS', wrong.join('; '), { hint: 'See "airlock <command> --help"' });
  }
  // The loop has set each name to the value of its own schema, which the compiler cannot derive.
  return values as SettingValues<R>;
}

/** The most characters of a value that is shown. */
const SHOWN_MAX = 200;

/**
 * The values that count, as text, and where they come from. The values of secrets are not shown, and those that are not
 * valid neither: people paste keys into the wrong field.
 */
export const effectiveSettings = (table: SettingTable, flags: Texts, env: Texts): SettingInfo[] =>
  Object.entries(table).map(([name, row]) => {
    const { flag, env: variable, schema, isSecret } = row;
    const byFlag = flags[name];
    const text = byFlag ?? (env[variable] === '' ? undefined : env[variable]);
    const shown =
      text === undefined
        ? defaultText(row)
        : isSecret
          ? '(set, and not shown)'
          : schema.safeParse(text).success
            ? text
            : '(not valid)';
    return {
      ...(flag === undefined ? {} : { flag }),
      env: variable,
      value: shown.length > SHOWN_MAX ? `${shown.slice(0, SHOWN_MAX)}…` : shown,
      from: text === undefined ? 'default' : byFlag === undefined ? 'variable' : 'flag',
    };
  });
