/** Every page of docs/ that is written from a table. */
import { metrics } from '../../agent/metrics/table.ts';
import { COMMANDS } from '../../cli/run.ts';
import { methods } from '../../shared/api/methods.ts';
import { settings } from '../../shared/api/settings.ts';
import { findingRules } from '../../shared/rule/plugin/finding.ts';
import { cliPage } from './cli-page.ts';
import manifest from '../../package.json' with { type: 'json' };
import { dashboard } from './dashboard.ts';
import { frameVectors } from './frame-vectors.ts';
import { gateVectors } from './gate-vectors.ts';
import { manPage } from './man-page.ts';
import { metricsPage } from './metrics-page.ts';
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
  const loaded = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  const commands = loaded.map(({ command }) => command);
  return new Map([
    ['docs/settings.md', settingsPage(settings)],
    ['docs/cli.md', cliPage(commands)],
    ['docs/airlock.1', manPage(commands, settings, manifest.version)],
    ['docs/metrics.md', metricsPage(metrics)],
    ['docs/dashboard.json', json(dashboard())],
    ['docs/rules.md', rulesPage(findingRules)],
    ['docs/openrpc.json', json(openRpc(methods))],
    ['docs/vectors/frames.json', json(frameVectors())],
    ['docs/vectors/gate.json', json(gateVectors())],
    ['docs/vectors/trees.json', json(treeVectors())],
    ['docs/vectors/uploads.json', json(uploadVectors())],
    ...[...schemaFiles()].map(([name, text]): [string, string] => [`${SCHEMAS}/${name}`, text]),
  ]);
}
