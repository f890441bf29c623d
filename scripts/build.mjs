// Builds dist/: the command (airlock.mjs and the parts of it in airlock/, everything bundled), the three library entries
// (zod and yaml are in them, other npm dependencies stay imports), the loader for `require`, and their type declarations. Files are put in place one rename each, so that a build beside a running
// process never shows it half a file; what an earlier build left over goes last.
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { legalText } from './legal.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(root, 'dist');
const quiet = process.argv.includes('--quiet');
const started = performance.now();

/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  outdir: dist,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  write: false,
  metafile: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  charset: 'utf8',
  minifySyntax: true,
  logLevel: 'warning',
};

// A bundled CommonJS dependency still says `require('node:…')`; an ES module has no `require` of its own.
const requireShim = [
  "import { createRequire as airlockCreateRequire } from 'node:module';",
  'const require = airlockCreateRequire(import.meta.url);',
].join('\n');

/**
 * The command. Each process and each engine thread loads only the parts that it runs: compiling all of it takes longer
 * than most commands.
 */
const command = build({
  ...common,
  entryPoints: { airlock: 'cli/main.ts' },
  splitting: true,
  chunkNames: 'airlock/[name]-[hash]',
  banner: { js: requireShim },
  external: ['koffi', 'bufferutil', 'utf-8-validate'],
  legalComments: 'none',
});

/**
 * The libraries contain zod and yaml: of their 150 modules a runtime would load each by itself, which takes longer than all
 * the rest. The build of yaml for browsers is the same parser as ES modules, so no bundle needs a `require`.
 */
const library = {
  ...common,
  alias: { yaml: path.join(root, 'node_modules/yaml/browser/index.js') },
  external: ['ignore', 'koffi', 'pino', 'tar', 'ws', 'yauzl'],
  legalComments: 'none',
};

const libraries = build({
  ...library,
  entryPoints: { loader: 'loader/index.ts', client: 'client/index.ts', protocol: 'shared/api/protocol.ts' },
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});

/** The loader once more for `require`, in one file: a Node that cannot require ES modules loads it too. */
const commonLoader = build({
  ...library,
  entryPoints: { loader: 'loader/index.ts' },
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
});

/** @param {string} file @param {Uint8Array | string} contents @param {number} mode */
async function put(file, contents, mode = 0o644) {
  await mkdir(path.dirname(file), { recursive: true });
  const aside = `${file}.${process.pid}.tmp`;
  await writeFile(aside, contents);
  await chmod(aside, mode);
  await rename(aside, file);
}

/** Declarations are written aside, then moved file by file; judging the types is the business of `npm run check`. */
async function declarations() {
  const aside = path.join(root, 'node_modules', '.cache', `airlock-types-${process.pid}`);
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', aside], {
    cwd: root,
    encoding: 'utf8',
  });
  if (run.status !== 0) {
    await rm(aside, { recursive: true, force: true });
    throw new Error(`Emitting the type declarations failed:\n${run.stdout}${run.stderr}`);
  }
  const written = [];
  for (const entry of await readdir(aside, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const from = path.join(entry.parentPath, entry.name);
    const to = path.join(dist, 'types', path.relative(aside, from));
    await put(to, declarationText(await readFile(from, 'utf8')));
    written.push(to);
  }
  await rm(aside, { recursive: true, force: true });
  return [...written, ...(await commonDeclarations(path.join(dist, 'types/loader/index.d.ts')))];
}

/** Writes a declaration, and all that it imports, once more for `require`: `name.d.cts`, found as `./name.cjs`. */
async function commonDeclarations(entry) {
  const found = new Set([entry]);
  const written = [];
  for (const file of found) {
    const text = (await readFile(file, 'utf8')).replaceAll(RELATIVE, (_, before, quote, name) => {
      found.add(path.resolve(path.dirname(file), `${name}.d.ts`));
      return `${before}${quote}${name}.cjs${quote}`;
    });
    const to = file.replace(/\.d\.ts$/, '.d.cts');
    await put(to, text);
    written.push(to);
  }
  return written;
}

/** The specifier of an import of another declaration: what is before it, its quote, its path without an ending. */
const RELATIVE = /(\bfrom\s*|\bimport\s*\(?\s*)(["'])(\.{1,2}\/[^"']*)\.js\2/g;

/** Sources import each other as `./name.ts`; beside a declaration stands `./name.d.ts`, found as `./name.js`. */
function declarationText(text) {
  return text.replaceAll(/(\bfrom\s*|\bimport\s*\(?\s*)(["'])(\.{1,2}\/[^"']*)\.ts\2/g, '$1$2$3.js$2');
}

async function removeLeftOvers(kept) {
  for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (!entry.isDirectory() && !kept.has(file) && !file.endsWith('.tmp')) await rm(file, { force: true });
  }
}

async function main() {
  const [bundled, split, required] = await Promise.all([command, libraries, commonLoader]);
  const kept = new Set();
  // Parts first: a public file must never name one that is not there yet.
  const isPublic = (file) => path.dirname(file) === dist;
  const outputs = [...split.outputFiles, ...required.outputFiles, ...bundled.outputFiles].toSorted(
    (a, b) => Number(isPublic(a.path)) - Number(isPublic(b.path)),
  );
  for (const { path: file, text } of outputs) {
    const executable = file === path.join(dist, 'airlock.mjs');
    const shebang = executable && !text.startsWith('#!') ? '#!/usr/bin/env node\n' : '';
    await put(file, shebang + text, executable ? 0o755 : 0o644);
    kept.add(file);
  }
  for (const [name, metafile, what] of [
    ['airlock.mjs.LEGAL.txt', bundled.metafile, 'dist/airlock.mjs and dist/airlock/ contain'],
    ['libraries.LEGAL.txt', split.metafile, 'The other files of dist/ and dist/chunks/ contain'],
  ]) {
    const legal = path.join(dist, name);
    await put(legal, await legalText(root, metafile, what));
    kept.add(legal);
  }
  for (const file of await declarations()) kept.add(file);
  await removeLeftOvers(kept);

  if (quiet) return;
  for (const { path: file, contents } of outputs) {
    process.stdout.write(
      `${path.relative(root, file).padEnd(36)} ${(contents.length / 1024).toFixed(1).padStart(8)} KiB\n`,
    );
  }
  process.stdout.write(`Built dist/ in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`Building dist/ failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
