// Writes the pages of docs/ that come from the tables of settings, methods and commands, and from the schemas.
// test/lint/generated.test.ts is red when one of them is stale.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
// Below node_modules, so that the npm dependencies of the bundle are found.
const aside = path.join(root, 'node_modules', '.cache', `airlock-docs-${process.pid}`);

try {
  await build({
    absWorkingDir: root,
    entryPoints: { pages: 'scripts/docs/pages.ts' },
    outdir: aside,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    packages: 'external',
    logLevel: 'warning',
  });
  const { SCHEMAS, pages } = await import(pathToFileURL(path.join(aside, 'pages.mjs')).href);
  const written = await pages();
  for (const [file, text] of written) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), text);
  }
  for (const name of await readdir(path.join(root, SCHEMAS))) {
    if (!written.has(`${SCHEMAS}/${name}`)) await rm(path.join(root, SCHEMAS, name));
  }
  process.stdout.write(`Wrote ${written.size} pages: ${[...written.keys()].join(', ')}\n`);
} catch (error) {
  process.stderr.write(`Writing docs/ failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await rm(aside, { recursive: true, force: true });
}
