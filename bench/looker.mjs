// A reader in a process of its own: looks at one plugin as fast as it can until its standard input ends, then prints how
// often it looked and how often it failed. Usage: node looker.mjs ROOT NAME
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { createLoader } from '../dist/loader.mjs';

const [root, name] = process.argv.slice(2);
const loader = createLoader({ roots: [root] });
const seen = { looks: 0, absent: 0, refused: 0, torn: 0 };

async function lookPlainly() {
  await stat(path.join(root, name, 'plugin.yaml')).catch(() => (seen.absent += 1));
}

async function askGate() {
  const { admitted } = await loader.gate(name);
  if (!admitted) seen.refused += 1;
}

/** Every file of the plugin names its version, so two of one version are equal. */
async function readTwo() {
  try {
    const texts = await loader.read(name, (folder) =>
      Promise.all(['a.txt', 'b.txt'].map((file) => readFile(path.join(folder, file), 'utf8'))),
    );
    if (texts[0] !== texts[1]) seen.torn += 1;
  } catch {
    seen.absent += 1;
  }
}

const end = new AbortController();
process.stdin.resume().once('end', () => end.abort());
console.log('ready');
while (!end.signal.aborted) {
  for (const look of [lookPlainly, askGate, readTwo]) {
    seen.looks += 1;
    await look();
  }
}
console.log(JSON.stringify(seen));
