// Reads the rules and skills of a plugin.
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

/** @param {string} folder @returns {Promise<string[]>} its entries at any depth; empty if it does not exist */
const names = (folder) => readdir(folder, { recursive: true }).catch(() => []);

/** @param {string} folder the plugin's */
export async function readRules(folder) {
  const files = (await names(path.join(folder, 'rules'))).filter((name) => name.endsWith('.md')).toSorted();
  return Promise.all(
    files.map(async (name) => ({ name, text: await readFile(path.join(folder, 'rules', name), 'utf8') })),
  );
}

/** @param {string} folder the plugin's */
export async function readSkills(folder) {
  const files = (await names(path.join(folder, 'skills'))).filter(
    (name) => path.basename(name) === 'SKILL.md',
  );
  const skills = files.map((name) => path.join('skills', path.dirname(name))).toSorted();
  return Promise.all(skills.map((skill) => readSkill(folder, skill)));
}

/** @param {string} folder the plugin's @param {string} skill relative path of its directory */
export async function readSkill(folder, skill) {
  const text = await readFile(path.join(folder, skill, 'SKILL.md'), 'utf8');
  const description = /^description: *(.*)$/m.exec(text)?.[1] ?? '';
  return { path: skill, description, lastLine: text.trimEnd().split('\n').at(-1) };
}
