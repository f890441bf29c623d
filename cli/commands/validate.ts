/** `airlock validate`: says what is wrong with a plugin before it is packed or sent. */
import { relative, sep } from 'node:path';

import { toFault } from '../../shared/api/fault.ts';
import { type Command, EXIT, NAME_OPTION } from '../command.ts';
import { countsOf, findingLines, summaryOf } from '../findings.ts';
import { sarifOf } from '../sarif.ts';
import { VALIDATE_SETTINGS, validatePlugin } from '../validate-plugin.ts';

export const command: Command = {
  name: 'validate',
  summary: 'say what is wrong with a plugin: a directory, or a bundle as an agent would take it',
  positionals: '<dir|bundle>',
  count: { min: 1, max: 1 },
  settings: VALIDATE_SETTINGS,
  options: {
    name: NAME_OPTION,
    strict: { type: 'boolean', help: 'end with 1 for warnings too' },
    sarif: { type: 'boolean', help: 'print SARIF 2.1.0, for services that show findings beside the code' },
    'allow-secret': {
      type: 'string',
      value: 'path',
      multiple: true,
      help: 'say nothing of this file though it looks like a secret; may be given more than once',
    },
  },
  examples: [
    'airlock validate ./my-plugin',
    'airlock validate my-plugin-1.2.0.tgz --strict',
    'airlock validate ./my-plugin --sarif > airlock.sarif',
  ],
  async run(context) {
    const { given, output, version } = context;
    const [path = ''] = given.positionals;
    const isSarif = given.booleans['sarif'] === true;
    const place = { kind: 'directory', path: fromHere(path) } as const;
    const report = await validatePlugin(context, path).catch((error: unknown) => {
      // A service that gets no document cannot say what is wrong.
      const fault = toFault(error, 'Validating');
      if (isSarif) output.text(JSON.stringify(sarifOf([], place, version, fault), null, 2));
      throw fault;
    });
    const { kind, plugin, version: pluginVersion, files, findings } = report;
    const counts = countsOf(findings);
    if (isSarif) {
      output.text(JSON.stringify(sarifOf(findings, { ...place, kind }, version), null, 2));
    } else {
      output.result({ plugin, version: pluginVersion, files, ...counts, findings }, () =>
        [
          ...findingLines(findings, output.paint),
          summaryOf(plugin ?? path, files, findings, output.paint),
        ].join('\n'),
      );
    }
    const fails = counts.errors > 0 || (given.booleans['strict'] === true && counts.warnings > 0);
    return fails ? EXIT.failed : EXIT.done;
  },
};

/** A path relative to the working directory, where a service expects the code; `.` for what lies elsewhere. */
function fromHere(path: string): string {
  const way = relative('.', path).split(sep).join('/');
  return way === '..' || way.startsWith('../') || /^[A-Za-z]:/.test(way) ? '.' : way;
}
