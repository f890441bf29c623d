// Runs a command under another Node: `node scripts/with-node.mjs 24 vitest run`. That Node comes as an npm package
// (its name says the platform), is kept in node_modules/.cache, and stands first on the PATH of the command.
// Exit code 75: that Node cannot be had here (no network, no such platform); otherwise the command's own.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { extract } from 'tar';

const UNAVAILABLE = 75;
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const cache = path.join(root, 'node_modules', '.cache');
const bin = path.join(root, 'node_modules', '.bin');

/** The folder of that Node's binary. @param {string} major */
async function nodeFolder(major) {
  const home = path.join(cache, `node-${major}-${process.platform}-${process.arch}`);
  if (existsSync(path.join(home, 'bin', 'node'))) return path.join(home, 'bin');
  await mkdir(cache, { recursive: true });
  const aside = await mkdtemp(path.join(cache, 'node-'));
  try {
    const spec = `node-${process.platform}-${process.arch}@${major}`;
    const npm = spawnSync('npm', ['pack', spec, '--pack-destination', aside, '--silent'], {
      cwd: aside,
      encoding: 'utf8',
      timeout: 300_000,
    });
    if (npm.error !== undefined || npm.status !== 0) {
      throw new Error(`"npm pack ${spec}" failed: ${npm.error?.message ?? npm.stderr.trim()}`);
    }
    const archive = (await readdir(aside)).find((name) => name.endsWith('.tgz'));
    if (archive === undefined) throw new Error(`"npm pack ${spec}" left no archive`);
    await mkdir(path.join(aside, 'tree'));
    await extract({ file: path.join(aside, archive), cwd: path.join(aside, 'tree'), strip: 1 });
    const probe = spawnSync(path.join(aside, 'tree', 'bin', 'node'), ['--version'], { encoding: 'utf8' });
    if (probe.status !== 0) {
      throw new Error(`The binary of ${spec} does not start: ${probe.error?.message ?? probe.stderr}`);
    }
    await rm(home, { recursive: true, force: true });
    await rename(path.join(aside, 'tree'), home);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return path.join(home, 'bin');
}

async function main() {
  const [major, command, ...args] = process.argv.slice(2);
  if (major === undefined || command === undefined || !/^\d+$/.test(major)) {
    process.stderr.write('Usage: node scripts/with-node.mjs <major> <command> [arguments]\n');
    return 2;
  }
  let folder;
  try {
    folder = await nodeFolder(major);
  } catch (error) {
    process.stdout.write(
      `Node ${major} is not to be had here: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    return UNAVAILABLE;
  }
  const search = [folder, bin, process.env['PATH'] ?? ''].join(path.delimiter);
  const version = spawnSync(path.join(folder, 'node'), ['--version'], { encoding: 'utf8' }).stdout.trim();
  process.stdout.write(`Running "${[command, ...args].join(' ')}" under Node ${version}\n`);
  const run = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: search },
  });
  if (run.error) process.stderr.write(`Starting "${command}" failed: ${run.error.message}\n`);
  return run.status ?? 1;
}

process.exitCode = await main();
