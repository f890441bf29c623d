// The licences of what is bundled: whoever hands out the files hands these out too.
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

/**
 * @param {string} root the repository
 * @param {import('esbuild').Metafile} metafile of the bundle
 * @param {string} what says which files contain the packages
 * @returns {Promise<string>} one section per bundled package, sorted by name
 */
export async function legalText(root, metafile, what) {
  /** @type {Set<string>} */
  const folders = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (folder !== undefined) folders.add(folder);
  }
  const sections = await Promise.all(
    [...folders].toSorted().map((folder) => section(path.join(root, folder))),
  );
  return `${what} these packages.\n\n${sections.join('\n')}`;
}

async function section(folder) {
  const { name, version, license } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text =
    file === undefined
      ? '(the package carries no licence file)'
      : await readFile(path.join(folder, file), 'utf8');
  return `${'-'.repeat(100)}\n${name} ${version} (${license})\n\n${text.trim()}\n`;
}
