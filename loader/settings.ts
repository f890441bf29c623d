/** The options of a loader, checked once. */
import { resolve } from 'node:path';

import * as z from 'zod';

import type { Policy } from '../shared/rule/admission.ts';
import { Fault } from '../shared/api/fault.ts';
import { fallbackOf } from '../shared/api/setting.ts';
import { settings } from '../shared/api/settings.ts';
import { type Clock, type Pause, pause, systemClock } from '../shared/clock.ts';
import { type Layout, layoutOf } from '../shared/format/layout.ts';
import { type Ignore, createIgnore } from '../shared/format/tree.ts';

/** The options of {@link createLoader}. Only `roots` is required. */
export type LoaderOptions = {
  /** The directories that hold plugins: the workspace's own root first, then shared ones. */
  readonly roots: readonly string[];
  /** The runtime that loads the plugins; plugins that do not support it are refused. Default: every runtime is supported. */
  readonly runtime?: string | undefined;
  /** `warn` admits plugins without a marker, with a warning. Default: `enforce`. */
  readonly mode?: 'enforce' | 'warn' | undefined;
  /**
   * How much is compared with what was installed. `marker` (the default): only the marker. `stat`: also paths, sizes and
   * modes. `digest`: also every byte.
   */
  readonly verify?: 'marker' | 'stat' | 'digest' | undefined;
  /** Whether a plugin must have a manifest. Default: `required`. */
  readonly manifest?: 'required' | 'optional' | undefined;
  /** Names that are not part of a plugin, beside `*.pyc` and the like. One `*` may be at the beginning or the end. */
  readonly ignore?: readonly string[] | undefined;
  /** Where {@link Loader.loaded} writes: the agent's `AIRLOCK_LOADED_DIR`. Default: `.loaded` below the first root. */
  readonly loadedDir?: string | undefined;
  /** When it is aborted, running and later calls reject with its reason. */
  readonly signal?: AbortSignal | undefined;
};

/** The options with their defaults filled in. */
export type Settings = {
  /** In the order of the roots. */
  layouts: readonly [Layout, ...Layout[]];
  policy: Policy;
  verify: 'marker' | 'stat' | 'digest';
  ignore: Ignore;
  signal: AbortSignal | undefined;
  clock: Pick<Clock, 'now'>;
  pause: Pause;
  /** The directory for a plugin's own data: beside the first root. */
  data(name: string): string;
};

const path = z
  .string()
  .min(1, 'must not be empty')
  .refine((text) => !text.includes('\0'), 'must not hold a NUL');
const optionsSchema = z.strictObject({
  roots: z.array(path),
  runtime: settings.runtime.schema.optional(),
  mode: z.enum(['enforce', 'warn']).default('enforce'),
  verify: z.enum(['marker', 'stat', 'digest']).default('marker'),
  manifest: settings.manifest.schema.default(fallbackOf(settings.manifest)),
  ignore: z.array(z.string().min(1, 'must not be empty')).default([]),
  loadedDir: path.optional(),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal, 'must be an AbortSignal').optional(),
});

/**
 * @param time tests replace it.
 * @throws Fault INVALID_PARAMS that names every option that is wrong.
 */
export function readOptions(
  options: LoaderOptions,
  time: Partial<Pick<Settings, 'clock' | 'pause'>> = {},
): Settings {
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) {
    throw misuse(
      parsed.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`),
    );
  }
  const { roots, runtime, mode, verify, manifest, ignore, loadedDir, signal } = parsed.data;
  const loaded = loadedDir === undefined ? undefined : resolve(loadedDir);
  const [first, ...others] = roots.map((root) => layoutOf(resolve(root), loaded));
  if (first === undefined) {
    throw misuse(['roots: must name at least one directory']);
  }
  const twice = others.find(({ root }, i) =>
    [first, ...others.slice(0, i)].some((other) => other.root === root),
  );
  if (twice !== undefined) {
    throw misuse([`roots: holds "${twice.root}" twice`]);
  }
  return {
    layouts: [first, ...others],
    policy: { mode, runtime, manifest },
    verify,
    ignore: createIgnore(ignore),
    signal,
    clock: systemClock,
    pause,
    ...time,
    data: (name) => first.data(name),
  };
}

function misuse(wrong: readonly string[]): Fault {
  return new Fault('INVALID_PARAMS', `The options of createLoader are wrong: ${wrong.join('; ')}`, {
    hint: 'See the doc comment of LoaderOptions',
  });
}
