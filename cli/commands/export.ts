/** `airlock export`: writes an installed version as a `.tgz`; the same tree gives the same bytes. */
import { resolve } from 'node:path';
import { Writable } from 'node:stream';

import { type Exported, exportPlugin } from '../../client/index.ts';
import { methods } from '../../shared/api/methods.ts';
import { settingsOf } from '../../shared/api/setting.ts';
import { settings } from '../../shared/api/settings.ts';
import { type Command, type Context, EXIT } from '../command.ts';
import { checkName } from '../reach.ts';
import { readOptions } from '../method-command.ts';
import { bytes, plural, safe } from '../render.ts';
import { withCaller } from '../work.ts';

const { version, drifted } = methods['plugin.export'].params.shape;
const { summary } = methods['plugin.export'];

export const command: Command = {
  name: 'export',
  summary: `${summary.charAt(0).toLowerCase()}${summary.slice(1)}`.replace('send', 'write'),
  positionals: '<name>',
  count: { min: 1, max: 1 },
  settings: settingsOf(settings, 'client', 'loader'),
  options: {
    out: {
      type: 'string',
      value: 'file',
      short: 'o',
      help: 'the file to write, or - for standard output; default: <name>.tgz in this directory',
    },
    force: { type: 'boolean', help: 'replace an existing file' },
    version: { type: 'string', value: 'id', help: version.description ?? '' },
    drifted: { type: 'boolean', help: drifted.description ?? '' },
  },
  examples: [
    'airlock export my-plugin --to ws://127.0.0.1:7423 -o my-plugin.tgz',
    'airlock export my-plugin --root /configs/plugins -o - | tar -tz',
  ],
  async run(context) {
    const { given, output, signal } = context;
    const [plugin = ''] = given.positionals;
    checkName(plugin);
    const asked = readOptions(
      'plugin.export',
      { plugin, version: given.strings['version'], drifted: given.booleans['drifted'] },
      'export',
    );
    const { out = `${plugin}.tgz` } = given.strings;
    const isPiped = out === '-';
    const to = isPiped ? standardOutput(context) : resolve(out);
    const overwrite = given.booleans['force'] === true;
    const exported = await withCaller(context, (caller) =>
      exportPlugin(caller, plugin, { ...asked, to, overwrite, signal }),
    );
    if (isPiped) output.note(textOf(exported, 'standard output', context));
    else output.result({ ...exported, file: to }, () => textOf(exported, safe(out), context));
    return EXIT.done;
  },
};

/** The bytes wait for their reader. */
const standardOutput = ({ output }: Context): Writable =>
  new Writable({ write: (chunk: Uint8Array, _, done) => output.bytes(chunk, done) });

function textOf(exported: Exported, where: string, { output: { paint } }: Context): string {
  const { plugin, pluginVersion, installId, files, bytes: unpacked, size, sha256, tree } = exported;
  const which = installId === null ? 'what is there' : safe(installId);
  return [
    `${paint('green', 'exported')}  ${safe(plugin)} ${safe(pluginVersion)} (${which}) to ${where}`,
    `  ${plural(files, 'file')}, ${bytes(unpacked)}, packed ${bytes(size)}`,
    `  sha256 ${safe(sha256)}`,
    `  tree   ${safe(tree)}`,
  ].join('\n');
}
