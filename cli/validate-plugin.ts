/** Validates a directory, or a bundle as an agent would take it, without an agent. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

import {
  faultFindings,
  type FindingId,
  isZip,
  type PluginReport,
  validateDirectory,
} from '../client/index.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import { makeTemporary, systemFault } from '../client/temporary.ts';
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
    const report = await validateDirectory(path, { ...optionsOf(context), isUnpacked: false });
    return { ...report, kind: 'directory', fault: undefined };
  }
  return (await isZip(path)) ? validateZip(context, path) : validateFile(context, path);
}

/** A zip is packed before it is sent, so the packer decides. */
async function validateZip(context: Context, file: string): Promise<Validation> {
  try {
    const report = await validateDirectory(file, { ...optionsOf(context), isUnpacked: false });
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

/** Unpacks a bundle with the code of an agent, below a temporary directory. */
async function validateFile(context: Context, file: string): Promise<Validation> {
  const { given, env, signal } = context;
  const { manifest, ignore, runtime, ...limits } = readSettings(VALIDATE_SETTINGS, given.settings, env);
  const policy = { manifest, ignore, runtime, owner: undefined, ...limits };
  const { name, links } = given.strings;
  const { validateBundle } = await import('../agent/main.ts');
  const { directory, dispose } = await makeTemporary('airlock-validate-');
  try {
    const bundle = createReadStream(file, { signal }) as AsyncIterable<Buffer>;
    const { fault, isWhole, findings } = await validateBundle(bundle, directory, {
      policy,
      name,
      links: links === 'skip' || links === 'refuse' ? links : 'copy',
      signal,
    });
    const report = isWhole
      ? await validateDirectory(directory, { ...optionsOf(context), isUnpacked: true })
      : nothingOf(context);
    const refusal = fault === undefined ? [] : faultFindings(fault);
    const said = new Set(report.findings.map(({ rule }) => rule));
    const all = [
      ...refusal.filter(({ rule }) => !said.has(rule)),
      ...findings.filter(({ rule }) => OF_THE_ARCHIVE.has(rule)),
      ...report.findings,
    ];
    return { ...report, findings: all, kind: 'bundle', fault };
  } catch (error) {
    // A fault of the disk gives advice for a root.
    const cause = error instanceof Fault ? (error.cause ?? error) : error;
    throw systemFault(cause, `Unpacking "${file}"`);
  } finally {
    await dispose();
  }
}

function optionsOf({
  given,
  env,
  signal,
}: Context): Omit<Parameters<typeof validateDirectory>[1], 'isUnpacked'> {
  const { ignore, manifest, ...limits } = readSettings(VALIDATE_SETTINGS, given.settings, env);
  const { name } = given.strings;
  return { name, ignore, manifest, limits, allowSecrets: given.lists['allow-secret'], signal };
}
