/** The variables with which a plugin names its own directory and that of its data. Pure. */
import type { Manifest } from '../shared/format/manifest.ts';

/** How the variables of a kind of manifest begin. */
const PREFIXES: Partial<Record<Manifest['file'], string>> = {
  'plugin.json': 'PLUGIN',
  '.claude-plugin/plugin.json': 'CLAUDE_PLUGIN',
};

/** @param root the live path: a process of the plugin outlives every pinned path. */
export function variablesOf(
  manifest: Manifest | undefined,
  root: string,
  data: string,
): Record<string, string> {
  const prefix = manifest && PREFIXES[manifest.file];
  return prefix === undefined ? {} : { [`${prefix}_ROOT`]: root, [`${prefix}_DATA`]: data };
}

/**
 * Replaces every `${NAME}` of these variables, once: what is put in is not looked through again, and every other text stays
 * as it is.
 *
 * @example expandVariables('${PLUGIN_ROOT}/config.json', plugin.variables)
 */
export const expandVariables = (text: string, variables: Readonly<Record<string, string>>): string =>
  text.replaceAll(/\$\{([A-Z_]+)\}/g, (whole, name: string) => variables[name] ?? whole);
