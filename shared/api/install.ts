/** The parameters and answers of an install that several rows of the table of methods share. */
import * as z from 'zod';

import { digestSchema, sha256Schema, stampSchema } from '../format/name.ts';

/** Where to send the bytes of a bundle. */
export const opened = z.object({
  status: z.literal('open'),
  stream: z.number().int(),
  /** The bytes before this offset are there already. */
  offset: z.number().int(),
  limit: z.number().int(),
});

/** Refused with CONFLICT unless this is live. */
export const expect = z
  .strictObject({ installId: stampSchema.nullable() })
  .optional()
  .describe('refuse unless this install is live');
/** `false` suppresses the restart. */
export const restart = z.boolean().optional().describe('suppress the restart');
/** Skips the refusals that protect what is live. */
export const force = z.boolean().optional().describe('even if the plugin is held');

/** What the caller of an install wishes. */
export const wishes = {
  /** The tree digest, if it is known: then an install of a tree that is live already needs no bytes. */
  tree: digestSchema.optional().describe('the digest of the tree, if it is known'),
  /** Refused with CONFLICT unless this is live: an installId, or null for nothing. */
  expect,
  pin: digestSchema.optional().describe('the digest that the manifest file must have'),
  /**
   * What happens to links in the archive: they are replaced by copies of the file or directory of the archive to which
   * they lead (`copy`, the default), left out (`skip`), or the archive is refused (`refuse`).
   */
  links: z
    .enum(['copy', 'skip', 'refuse'])
    .optional()
    .describe('copy what links lead to (default), skip links, or refuse the bundle'),
  /** `false` suppresses the restart. */
  restart,
  force: force.describe('install even if this version is live already or the plugin is held'),
};

/**
 * A bundle that holds only the files that the agent lacks, and a list that names the others. `base`: the version that has
 * the others. `size` and `sha256` are those of the bytes that are sent.
 */
export const deltaParams = z.strictObject({
  base: stampSchema,
  size: z.number().int().positive(),
  sha256: sha256Schema,
  /** The bytes of all files that the list takes from the agent, if they are known: the agent asks for their room. */
  copied: z.number().int().nonnegative().optional(),
});

/** The bytes of all files of the tree, unpacked, if they are known: without room for them no byte is sent. */
export const unpackedBytes = z.number().int().nonnegative().optional();

/**
 * The files that the agent has of a plugin. They come on the stream, which is compressed with gzip: JSON lines as in
 * `format/delta`. Without a stream no files are known.
 */
export const plannedSchema = z.object({
  plugin: z.string(),
  /** The version that is live and known; null: none. */
  installId: z.string().nullable(),
  /** The bytes that may still be written to the disk. */
  free: z.number(),
  /** Whether files that are taken from an installed version share their data with it, so that they need no room. */
  shares: z.boolean().optional(),
  /** What counts as loaded, if the request wants to know it. */
  loaded: z
    .object({
      /** The version; null: none. */
      generation: z.string().nullable(),
      /** Why its files are not known, which makes each change cold; absent: they are known, and come on the stream. */
      why: z.string().optional(),
      /** Names that this agent ignores besides the built-in ones: AIRLOCK_IGNORE. */
      ignore: z.array(z.string()),
    })
    .optional(),
  stream: z.number().int().optional(),
});

type Sent = { size: number; sha256: string };

/** The bytes that an upload sends: those of its delta, or of the whole bundle. */
export const sentOf = ({ bundle, delta }: { bundle: Sent; delta?: Sent | undefined }): Sent =>
  delta ?? bundle;

/**
 * A request without what only says how its bytes travel and how many they are. The same question is asked with a delta and
 * without one.
 */
export function withoutDelta<P extends object>(params: P): P {
  const { delta: _, unpacked: __, ...rest } = params as P & { delta?: unknown; unpacked?: unknown };
  return rest as unknown as P;
}
