/** The basic names: of plugins, installs (stamps), digests and operations. */
import { createHash } from 'node:crypto';

import * as z from 'zod';

const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const STAMP = /^(\d{8})T(\d{9})Z-([0-9a-f]{8})$/;
const SLOT = /^(.+)\.(\d{8}T\d{9}Z-[0-9a-f]{8})$/;

/** The name of a plugin is also that of its directory. `..` is refused, although the pattern would allow it. */
export const pluginNameSchema = z
  .string()
  .regex(NAME, 'must begin with a-z or 0-9 and hold only a-z, 0-9, ".", "_" and "-" (at most 128)')
  .refine((name) => !name.includes('..'), 'must not contain ".."');

/** The id of an install: `<UTC, compact, milliseconds>-<8 hex of the bundle's sha256>`. */
export const stampSchema = z.string().regex(STAMP, 'is not a stamp such as 20260508T141530123Z-9f86d081');

/** 64 lower-case hex digits, as in fields with the name `sha256`. */
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');

/** A digest with its algorithm: `sha256:<64 hex>`, as in `bundle` and `tree`. */
export const digestSchema = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 lower-case hex digits');

/** Chosen by the client, so that a request is safe to repeat. It is also a file name, so its alphabet is small. */
export const operationIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{7,63}$/, 'must be 8 to 64 of A-Z, a-z, 0-9, "_" and "-"');

/** The id of a part of an operation: the same words give the same id, so that a repeated operation repeats no part. */
export const operationIdOf = (...words: string[]): string =>
  createHash('sha256').update(words.join('\0')).digest('hex').slice(0, 32);

export const isPluginName = (text: string): boolean => pluginNameSchema.safeParse(text).success;

/** What a plugin name is, for people. */
export const NAME_RULE =
  'a plugin name begins with a-z or 0-9 and holds only a-z, 0-9, ".", "_" and "-", at most 128 of them and no ".."';

/** The plugin name that is nearest to a name for people; undefined if no character of it can stay. */
export function slugOf(name: string): string | undefined {
  const slug = name
    .normalize('NFKD')
    .replaceAll(/\p{M}+/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/\.{2,}/g, '.')
    .replace(/^[._-]+/, '')
    .slice(0, 128)
    .replace(/[._-]+$/, '');
  return isPluginName(slug) ? slug : undefined;
}

/** Makes the stamp from a time (milliseconds since the epoch) and a bundle (hex sha256). */
export function makeStamp(millis: number, bundleSha256: string): string {
  const compact = new Date(millis).toISOString().replaceAll(/[-:.]/g, '');
  return `${compact}-${bundleSha256.slice(0, 8)}`;
}

/** The time in a stamp, in milliseconds since the epoch. */
export function stampMillis(stamp: string): number {
  const match = STAMP.exec(stamp);
  const [day, time] = [match?.[1] ?? '', match?.[2] ?? ''];
  const date = `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6, 8)}`;
  return Date.parse(`${date}T${time.slice(0, 2)}:${time.slice(2, 4)}:${time.slice(4, 6)}.${time.slice(6)}Z`);
}

/** The name of an entry of `.staging`, `.previous` or `.receipts`. */
export const slotName = (plugin: string, stamp: string): string => `${plugin}.${stamp}`;

/** The inverse of {@link slotName}; undefined for any other name. Names may contain dots, stamps may not. */
export function parseSlotName(entry: string): { plugin: string; stamp: string } | undefined {
  const match = SLOT.exec(entry);
  if (match?.[1] === undefined || match[2] === undefined || !isPluginName(match[1])) {
    return undefined;
  }
  return { plugin: match[1], stamp: match[2] };
}
