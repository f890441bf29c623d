/** Findings as SARIF 2.1.0, which services for code read. */
import type { Finding, FindingId } from '../client/index.ts';
import type { Fault } from '../shared/api/fault.ts';
import { findingRules } from '../shared/rule/plugin/finding.ts';

const SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json';

/** Where the plugin lies, so that a service finds its files: relative to the working directory, with `/`. */
export type SarifPlace = { kind: 'directory'; path: string } | { kind: 'bundle'; path: string };

/** One run with all rules and a result for each finding; `failure`: why it could not be done. */
export function sarifOf(
  findings: readonly Finding[],
  place: SarifPlace,
  version: string,
  failure?: Fault,
): object {
  const ids = Object.keys(findingRules) as FindingId[];
  const rules = ids.map((id) => {
    const { level, about, fix } = findingRules[id];
    return {
      id,
      shortDescription: { text: sentence(about) },
      help: { text: sentence(fix) },
      defaultConfiguration: { level },
    };
  });
  const results = findings.map(({ rule, level, path, line, message, fix }) => {
    const said = place.kind === 'bundle' && path !== '' ? `${path}: ${message}.` : sentence(message);
    return {
      ruleId: rule,
      ruleIndex: ids.indexOf(rule),
      level,
      message: { text: `${said} ${sentence(fix)}` },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: uriOf(place, path) },
            // A service shows no finding without a line.
            region: { startLine: place.kind === 'bundle' ? 1 : (line ?? 1) },
          },
        },
      ],
    };
  });
  const said = failure === undefined ? [] : [{ level: 'error', message: { text: `${failure.message}.` } }];
  const invocations = [{ executionSuccessful: failure === undefined, toolExecutionNotifications: said }];
  const tool = { driver: { name: 'airlock', version, semanticVersion: version, rules } };
  return { $schema: SCHEMA, version: '2.1.0', runs: [{ tool, invocations, results }] };
}

function uriOf(place: SarifPlace, path: string): string {
  const whole = place.kind === 'bundle' ? [place.path] : [place.path, path];
  const segments = whole.flatMap((part) => part.split('/')).filter((one) => one !== '' && one !== '.');
  return segments.length === 0 ? '.' : segments.map((one) => encodeURIComponent(one)).join('/');
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
