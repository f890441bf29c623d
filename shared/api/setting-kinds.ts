/** The kinds of values of settings: the schema that reads the text, and a word for it. */
import { resolve } from 'node:path';

import * as z from 'zod';

import { isLoopback } from '../loopback.ts';
import { AGENTS_PATH } from './rpc.ts';

type Kind<T> = { schema: z.ZodType<T, string>; unit: string };

/** Timers count milliseconds in 32 bits: a longer time would end at once. */
const SECONDS_MAX = 2_000_000;
const DAYS_MAX = 36_500;

const notEmpty = z.string().min(1, 'must not be empty');

const numberOf = (what: string): z.ZodType<number, string> =>
  z
    .string()
    .regex(/^\d{1,12}$/, `must be ${what}`)
    .transform(Number);

/** A text of at most so many characters. */
export const text = (most: number, unit = 'text'): Kind<string> => ({
  schema: notEmpty.max(most, `must have at most ${most} characters`),
  unit,
});

/** The same, and nobody is shown it. */
export const secret = (most: number, unit: string): Kind<string> & { isSecret: true } => ({
  ...text(most, unit),
  isSecret: true,
});

/** How many of something. */
export const count = (of: string): Kind<number> => ({ schema: numberOf(`a number of ${of}`), unit: of });

/** A number without a unit. */
export const ratio: Kind<number> = { schema: numberOf('a ratio'), unit: 'number' };

const UNITS: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** A number of bytes; K, M and G are powers of 1024. */
export const bytes: Kind<number> = {
  schema: z
    .string()
    .regex(/^\d{1,12}\s*(?:[KMG](?:iB)?)?$/, 'must be a number of bytes such as 1048576, 512K, 100M or 2G')
    .transform((value) => {
      const [, digits = '', unit = ''] = /^(\d+)\s*([KMG]?)/.exec(value) ?? [];
      return Number(digits) * (UNITS[unit] ?? 1);
    })
    .refine(Number.isSafeInteger, 'is more bytes than can be counted'),
  unit: 'bytes',
};

/** A time in seconds; the value is in milliseconds. */
export const seconds: Kind<number> = {
  schema: numberOf('a number of seconds')
    .refine((value) => value <= SECONDS_MAX, `must be at most ${SECONDS_MAX} seconds`)
    .transform((value) => value * 1000),
  unit: 'seconds',
};

/** A time in days; the value is in milliseconds. */
export const days: Kind<number> = {
  schema: numberOf('a number of days')
    .refine((value) => value <= DAYS_MAX, `must be at most ${DAYS_MAX} days`)
    .transform((value) => value * 24 * 60 * 60 * 1000),
  unit: 'days',
};

/** Texts, separated by commas. */
export const list = (of: string): Kind<string[]> => ({
  schema: z.string().transform((value) =>
    value
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  ),
  unit: `${of},…`,
});

/** Origins of browsers, in lower case, as browsers send them. */
export const origins: Kind<string[]> = {
  ...list('origin'),
  schema: list('origin').schema.transform((found) => found.map((origin) => origin.toLowerCase())),
};

/** Servers, each `https://host` or `https://host:port`, or http on the loopback. */
export const sources: Kind<string[]> = {
  ...list('origin'),
  schema: list('origin').schema.transform((found, context) =>
    found.flatMap((one) => {
      const origin = originOf(one);
      if (origin === undefined) {
        context.addIssue('must be origins such as https://plugins.example.com, without a path');
      }
      return origin ?? [];
    }),
  ),
};

/** In the spelling of a URL, without a default port; undefined if it is more or less than an origin. */
function originOf(value: string): string | undefined {
  try {
    const { protocol, href, origin } = new URL(value);
    return /^https?:$/.test(protocol) && href === `${origin}/` ? origin : undefined;
  } catch {
    return undefined;
  }
}

/** One of a few words. */
export const oneOf = <const T extends string>(words: readonly T[]): Kind<T> => ({
  schema: z.enum(words, { error: `must be one of ${words.join(', ')}` }),
  unit: words.join('|'),
});

/** The path of a file, as it is given. */
export const file: Kind<string> = {
  schema: z.string().regex(/^[^\r\n]+$/, 'must be the path of a file'),
  unit: 'file',
};

/** The path of a directory; the value is absolute. */
export const directory: Kind<string> = {
  schema: notEmpty.transform((value) => resolve(value)),
  unit: 'directory',
};

/** `host:port`. An IPv6 host is in brackets. With port 0 the system chooses one. */
const hostAndPort = z
  .string()
  .regex(
    /^(?:\[[0-9a-fA-F:]+\]|[^:[\]\s]+):\d{1,5}$/,
    'must be host:port, such as 127.0.0.1:7423 or [::1]:7423, or unix:/path',
  )
  .transform((value) => {
    const colon = value.lastIndexOf(':');
    return { host: value.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(value.slice(colon + 1)) };
  })
  .refine((to) => to.port <= 65_535, 'has a port beyond 65535');

/** The system accepts at most 107 bytes. The rest is for the temporary directory in which the socket is made. */
const SOCKET_PATH_BYTES = 90;
const socketPath = z
  .string()
  .regex(/^unix:\/[^\0]*[^\0/]$/, 'must be unix:/path, with an absolute path')
  .refine(
    (value) => new TextEncoder().encode(value.slice(5)).length <= SOCKET_PATH_BYTES,
    `has a path of more than ${SOCKET_PATH_BYTES} bytes`,
  )
  .transform((value) => ({ path: value.slice(5) }));

type ListenAddress = { host: string; port: number } | { path: string };

/** An address to listen on. */
export const address: Kind<ListenAddress> = {
  schema: z.string().transform((value, context): ListenAddress => {
    const parsed = (value.startsWith('unix:') ? socketPath : hostAndPort).safeParse(value);
    if (parsed.success) {
      return parsed.data;
    }
    context.addIssue(parsed.error.issues[0]?.message ?? 'is not valid');
    return z.NEVER;
  }),
  unit: 'host:port|unix:/path',
};

/** The URL of an agent. */
export const url: Kind<string> = {
  schema: z.string().regex(/^(?:wss?:\/\/|ws\+unix:\/)/, 'must begin with ws://, wss:// or ws+unix:/'),
  unit: 'url',
};

/** The URL of a platform. Only on the loopback it may be without TLS. */
export const platform: Kind<string> = {
  schema: z.string().transform((value, context): string => {
    const why = refusalOf(value);
    if (why === undefined) {
      const parsed = new URL(value);
      // The value is normalised, and addresses without a path get the one for agents.
      return parsed.pathname === '/' ? new URL(AGENTS_PATH, parsed).href : parsed.href;
    }
    context.addIssue(why);
    return z.NEVER;
  }),
  unit: 'url',
};

function refusalOf(value: string): string | undefined {
  if (!URL.canParse(value)) {
    return 'must be a URL such as wss://platform.example';
  }
  const { protocol, hostname, username, password, search, hash } = new URL(value);
  if (protocol !== 'wss:' && protocol !== 'ws:') {
    return 'must begin with wss://';
  }
  if (username !== '' || password !== '' || search !== '' || hash !== '') {
    return 'must hold no user, password, query or fragment, because addresses end up in logs';
  }
  return protocol === 'ws:' && !isLoopback(hostname)
    ? 'must begin with wss://: without TLS everybody on the network could read the token; ws:// is for the loopback'
    : undefined;
}

/** A user and a group, in numbers. */
export const owner: Kind<{ uid: number; gid: number }> = {
  schema: z
    .string()
    .regex(/^\d{1,9}:\d{1,9}$/, 'must be uid:gid in numbers, such as 1000:1000')
    .transform((value) => {
      const [uid = '', gid = ''] = value.split(':');
      return { uid: Number(uid), gid: Number(gid) };
    }),
  unit: 'uid:gid',
};
