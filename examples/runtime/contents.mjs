// What this runtime reads of a plugin: the text of its rules, and each skill's description and text.
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

/** @param {string} folder @returns {Promise<string[]>} what is in it, at any depth; nothing if it is not there */
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

/** @param {string} folder the plugin's @param {string} skill its directory, relative */
export async function readSkill(folder, skill) {
  const text = await readFile(path.join(folder, skill, 'SKILL.md'), 'utf8');
  const description = /^description: *(.*)$/m.exec(text)?.[1] ?? '';
  return { path: skill, description, lastLine: text.trimEnd().split('\n').at(-1) };
}
