/** `airlock pack`: makes a bundle of a directory or a zip; the same files give the same bytes. */
import { basename, resolve } from 'node:path';

import { packDirectory } from '../../client/index.ts';
import { readSettings, settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, EXIT, NAME_OPTION } from '../command.ts';
import { noteFindings } from '../findings.ts';
import { bytes, packNotes, plural, safe } from '../render.ts';

export const command: Command = {
  name: 'pack',
  summary: 'pack a directory, or a zip of one, as a .tgz, deterministically',
  positionals: '<dir|zip>',
  count: { min: 1, max: 1 },
  settings: settingsOf(settings, 'pack'),
  options: {
    name: NAME_OPTION,
    out: {
      type: 'string',
      value: 'file',
      help: 'the file to write; default: <name>-<version>.tgz in this directory',
    },
    force: { type: 'boolean', help: 'replace an existing file' },
    'allow-secret': {
      type: 'string',
      value: 'path',
      multiple: true,
      help: 'pack this file though it looks like a secret; may be given more than once',
    },
  },
  examples: ['airlock pack ./my-plugin --out my-plugin.tgz'],
  async run({ given, env, output, signal }) {
    const [directory = ''] = given.positionals;
    const { ignore, manifest } = readSettings(settingsOf(settings, 'pack'), given.settings, env);
    const allowSecrets = given.lists['allow-secret'];
    const overwrite = given.booleans['force'] === true;
    const { name } = given.strings;
    const options = { name, ignore, manifest, allowSecrets, overwrite, signal };
    const out = resolve(given.strings['out'] ?? (await defaultName(directory, options)));
    const packed = await packDirectory(directory, { ...options, out });
    for (const note of packNotes(packed)) output.note(note);
    noteFindings(packed.findings, directory, output);
    const { plugin, file, size, sha256, tree, files, bytes: unpacked, skipped, findings } = packed;
    const version = packed.manifest?.version;
    output.result(
      { plugin, version, file, size, sha256, tree, files, bytes: unpacked, skipped, findings },
      () =>
        [
          `${output.paint('green', 'packed')}  ${safe(plugin)} ${safe(version ?? '')} as ${safe(file)}`,
          `  ${plural(files, 'file')}, ${bytes(unpacked)}, packed ${bytes(size)}`,
          `  sha256 ${sha256}`,
          `  tree   ${tree}`,
        ].join('\n'),
    );
    return EXIT.done;
  },
};

/** The name comes from the manifest, which is known only after packing; that first bundle is removed. */
async function defaultName(directory: string, options: Parameters<typeof packDirectory>[1]): Promise<string> {
  const packed = await packDirectory(directory, options);
  await packed.dispose();
  return basename(`${packed.plugin}-${packed.manifest?.version ?? '0.0.0'}.tgz`);
}
