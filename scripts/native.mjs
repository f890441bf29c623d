// Copies what the one-file program loads beside itself into a directory: of koffi what runs, without what it was built
// from. Where npm has found none for this machine nothing is copied, and the agent goes without.
import { cp, mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'node_modules');
const [target] = process.argv.slice(2);
const SOURCES = /^koffi\/(?:vendor|lib|doc|cnoke\.cjs)(?:\/|$)/;

if (target === undefined) {
  process.stderr.write('Usage: node scripts/native.mjs <directory>\n');
  process.exitCode = 2;
} else {
  await mkdir(path.join(target, 'node_modules'), { recursive: true });
  for (const name of ['koffi', '@koromix'].filter((one) => existsSync(path.join(modules, one)))) {
    await cp(path.join(modules, name), path.join(target, 'node_modules', name), {
      recursive: true,
      filter: (source) => !SOURCES.test(path.relative(modules, source).replaceAll('\\', '/')),
    });
  }
}
