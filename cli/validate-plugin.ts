/** Validates a directory, or a bundle as an agent would take it, without an agent. */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { BundleVerdict } from '../agent/main.ts';
import {
  faultFindings,
  type FindingId,
  isZip,
  type PluginReport,
  validateDirectory,
} from '../client/index.ts';
import { type Fault, toFault } from '../shared/api/fault.ts';
import { unreadable } from '../shared/api/unreadable.ts';
import { readSettings, settingsOf } from '../shared/api/setting.ts';
import { settings } from '../shared/api/settings.ts';
import type { Context } from './command.ts';

/** What an agent accepts; without flags and variables its defaults. */
export const VALIDATE_SETTINGS = settingsOf(settings, 'validate');

/** A report, and for a bundle the refusal of an agent. */
type Validation = PluginReport & { kind: 'directory' | 'bundle'; fault: Fault | undefined };

/** @throws Fault INVALID_PARAMS for what cannot be read. */
export async function validatePlugin(context: Context, path: string): Promise<Validation> {
  const stats = await stat(path).catch((error: unknown) => {
    throw unreadable(`"${path}"`, error, 'Name the directory of a plugin, a zip of it, or a .tgz');
  });
  if (stats.isDirectory()) {
    const report = await validateDirectory(path, { ...optionsOf(context), hasIgnoreFile: true });
    return { ...report, kind: 'directory', fault: undefined };
  }
  return (await isZip(path)) ? validateZip(context, path) : validateFile(context, path);
}

/** A zip is packed before it is sent, so the packer decides. */
async function validateZip(context: Context, file: string): Promise<Validation> {
  try {
    const report = await validateDirectory(file, { ...optionsOf(context), hasIgnoreFile: true });
    return { ...report, kind: 'bundle', fault: undefined };
  } catch (error) {
    const fault = toFault(error, `Unpacking "${file}"`);
    if (!/^(?:ARCHIVE|LIMIT)_|^TOO_LARGE$/.test(fault.code)) throw error;
    return { ...nothingOf(context), findings: faultFindings(fault), kind: 'bundle', fault };
  }
}

const nothingOf = ({ given }: Context): PluginReport => ({
  plugin: given.strings['name'],
  version: undefined,
  files: 0,
  findings: [],
});

/** What an agent leaves out of a bundle, which is not to be seen in the directory any more. */
const OF_THE_ARCHIVE: ReadonlySet<FindingId> = new Set(['archive-remark', 'left-out']);

async function validateFile(context: Context, file: string): Promise<Validation> {
  return unpacked(context, file, async ({ fault, isWhole, findings }, directory) => {
    const report = isWhole
      ? await validateDirectory(directory, { ...optionsOf(context), hasIgnoreFile: false })
      : nothingOf(context);
    const isSaid = fault === undefined || (isWhole && report.findings.some(({ level }) => level === 'error'));
    const left = findings.filter(({ rule }) => OF_THE_ARCHIVE.has(rule));
    const all = [...(isSaid ? [] : faultFindings(fault)), ...left, ...report.findings];
    return { ...report, findings: all, kind: 'bundle', fault };
  });
}

/** What an agent says of a bundle: why it would refuse it, and what it would warn of. */
export const verdictOf = (context: Context, file: string): Promise<BundleVerdict> =>
  unpacked(context, file, async (verdict) => verdict);

/** Unpacks a bundle with the code of an agent, below a temporary directory. */
async function unpacked<T>(
  context: Context,
  file: string,
  use: (verdict: BundleVerdict, directory: string) => Promise<T>,
): Promise<T> {
  const { given, env, signal } = context;
  const { manifest, ignore, runtime, ...limits } = readSettings(VALIDATE_SETTINGS, given.settings, env);
  const policy = { manifest, ignore, runtime, owner: undefined, ...limits };
  const { name, links } = given.strings;
  const { validateBundle } = await import('../agent/main.ts');
  const directory = await mkdtemp(join(tmpdir(), 'airlock-validate-'));
  try {
    const bundle = createReadStream(file) as AsyncIterable<Buffer>;
    const verdict = await validateBundle(bundle, directory, {
      policy,
      name,
      links: links === 'skip' || links === 'refuse' ? links : 'copy',
      signal,
    });
    return await use(verdict, directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function optionsOf({
  given,
  env,
  signal,
}: Context): Omit<Parameters<typeof validateDirectory>[1], 'hasIgnoreFile'> {
  const { ignore, manifest, ...limits } = readSettings(VALIDATE_SETTINGS, given.settings, env);
  const { name } = given.strings;
  return { name, ignore, manifest, limits, allowSecrets: given.lists['allow-secret'], signal };
}
