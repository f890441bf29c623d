/** What a runtime loads out of a plugin: rules, prompt fragments, skills, settings. Only regular files are listed. */
import type { BigIntStats, Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Ignore } from '../shared/format/tree.ts';
import { isMarkdownName } from '../shared/rule/plugin/parts.ts';
import { systemErrorOf } from './disk/system-error.ts';

/** Markdown for people, also translated such as `README.zh-CN.md`. */
const FOR_PEOPLE = /^(?:readme|changelog|license|contributing)\./i;

export type Contents = {
  rules: string[];
  promptFragments: string[];
  skillsDir: string | undefined;
  settingsFragment: string | undefined;
  mcpConfig: string | undefined;
  warnings: string[];
  /** The stats of the directory of rules, taken before it was listed; undefined if there is none. */
  rulesStats: BigIntStats | undefined;
};

/** @param listing the entries of the plugin's directory, by name. */
export async function readContents(
  path: string,
  listing: ReadonlyMap<string, Dirent>,
  ignore: Ignore,
): Promise<Contents> {
  const contents: Contents = {
    rules: [],
    promptFragments: markdown([...listing.values()], ignore)
      .filter((name) => name !== 'SKILL.md' && !FOR_PEOPLE.test(name))
      .map((name) => join(path, name)),
    skillsDir: listing.get('skills')?.isDirectory() === true ? join(path, 'skills') : undefined,
    settingsFragment:
      listing.get('settings-fragment.json')?.isFile() === true
        ? join(path, 'settings-fragment.json')
        : undefined,
    mcpConfig: listing.get('mcp.json')?.isFile() === true ? join(path, 'mcp.json') : undefined,
    warnings: [],
    rulesStats: undefined,
  };
  if (listing.get('rules')?.isDirectory() === true) {
    const rules = join(path, 'rules');
    try {
      contents.rulesStats = await lstat(rules, { bigint: true });
      const entries = await readdir(rules, { withFileTypes: true });
      contents.rules = markdown(entries, (name) => ignore(`rules/${name}`)).map((name) => join(rules, name));
    } catch (error) {
      contents.warnings.push(`Its rules cannot be listed: ${systemErrorOf(error).why}`);
    }
  }
  return contents;
}

/** The names of markdown files, by {@link isMarkdownName}. */
function markdown(entries: readonly Dirent[], ignore: Ignore): string[] {
  return entries
    .filter((entry) => entry.isFile() && isMarkdownName(entry.name))
    .map(({ name }) => name)
    .filter((name) => !ignore(name))
    .toSorted();
}
