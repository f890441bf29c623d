/** Every page of docs/ that is written from a table. */
import { COMMANDS } from '../../cli/run.ts';
import { methods } from '../../shared/api/methods.ts';
import { settings } from '../../shared/api/settings.ts';
import { findingRules } from '../../shared/rule/plugin/finding.ts';
import { cliPage } from './cli-page.ts';
import { frameVectors } from './frame-vectors.ts';
import { openRpc } from './openrpc.ts';
import { rulesPage } from './rules-page.ts';
import { schemaFiles } from './schemas.ts';
import { settingsPage } from './settings-page.ts';
import { treeVectors } from './tree-vectors.ts';
import { uploadVectors } from './upload-vectors.ts';

/** The directory that holds nothing else. */
export const SCHEMAS = 'docs/schema';

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Path below the repository → text. */
export async function pages(): Promise<Map<string, string>> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  return new Map([
    ['docs/settings.md', settingsPage(settings)],
    ['docs/cli.md', cliPage(commands.map(({ command }) => command))],
    ['docs/rules.md', rulesPage(findingRules)],
    ['docs/openrpc.json', json(openRpc(methods))],
    ['docs/vectors/frames.json', json(frameVectors())],
    ['docs/vectors/trees.json', json(treeVectors())],
    ['docs/vectors/uploads.json', json(uploadVectors())],
    ...[...schemaFiles()].map(([name, text]): [string, string] => [`${SCHEMAS}/${name}`, text]),
  ]);
}
