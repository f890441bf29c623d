/** What a plugin gives its runtime, by the paths of its files. Pure. */
import type { Manifest } from '../../format/manifest.ts';
import { isSkillFile } from './skills.ts';

/** The parts of a plugin that people know by name. */
export type PluginParts = {
  /** The names of the directories of skills; for a `SKILL.md` at the root the name of the plugin. */
  skills: string[];
  /** Paths. */
  rules: string[];
  /** Paths. */
  hooks: string[];
};

/** Whether a file of this name is a text that runtimes read: `*.md` as in a shell, without those that begin with a dot. */
export const isMarkdownName = (name: string): boolean => name.endsWith('.md') && !name.startsWith('.');

const isRule = (path: string): boolean => {
  const [directory, name = '', ...deeper] = path.split('/');
  return directory === 'rules' && deeper.length === 0 && isMarkdownName(name);
};

/** A file of `hooks/` that is no text for people, or the one that some runtimes look for at the root. */
const isHook = (path: string): boolean => /^hooks\/[^/.][^/]*$/.test(path) && !path.endsWith('.md');

/**
 * The parts of a plugin, sorted.
 *
 * @param paths every file that counts. @param manifest undefined if there is none that can be read. Of the hooks that it
 *   names, those count that are paths of the plugin.
 */
export function partsOf(
  paths: readonly string[],
  plugin: string,
  manifest: Pick<Manifest, 'hooks'> | undefined,
): PluginParts {
  const named = new Set(manifest?.hooks.map((path) => path.replace(/^\.\//, '')));
  return {
    skills: paths
      .filter(isSkillFile)
      .map((path) => path.split('/').at(-2) ?? plugin)
      .toSorted(),
    rules: paths.filter(isRule).toSorted(),
    hooks: paths.filter((path) => isHook(path) || path === 'hooks.json' || named.has(path)).toSorted(),
  };
}
