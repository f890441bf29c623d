// Makes node_modules agree with package-lock.json, and does nothing when it already does. Every npm script begins
// here, so that each of them works in a fresh clone. Plain JavaScript without dependencies: nothing is installed yet.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST_NODE = [20, 19];
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stampFile = path.join(root, 'node_modules', '.airlock-stamp');

/** @param {string} what @param {string} why @param {string} fix @returns {never} */
function fail(what, why, fix) {
  process.stderr.write(`${what}\n  why: ${why}\n  do:  ${fix}\n`);
  process.exit(1);
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  fail(
    `Cannot run on Node ${process.versions.node}`,
    `Airlock needs Node ${OLDEST_NODE.join('.')} or newer`,
    'install a current Node LTS release and run the command again',
  );
}

function wantedStamp() {
  const lockfile = path.join(root, 'package-lock.json');
  if (!existsSync(lockfile)) {
    fail(
      'Cannot install the dependencies',
      'package-lock.json is missing',
      'run "git checkout package-lock.json"',
    );
  }
  const sha256 = createHash('sha256').update(readFileSync(lockfile)).digest('hex');
  return `package-lock ${sha256}, node ${process.versions.node.split('.')[0]}, ${process.platform}-${process.arch}\n`;
}

/** Why an install is needed, or null. @param {string} wanted */
function reasonToInstall(wanted) {
  if (!existsSync(path.join(root, 'node_modules', '.package-lock.json'))) {
    return 'node_modules is missing or unfinished';
  }
  if (!existsSync(stampFile)) return 'node_modules was not made by this script';
  if (readFileSync(stampFile, 'utf8') !== wanted) return 'package-lock.json or Node changed';
  return null;
}

/**
 * The environment without what an outer `npm run` adds to it: its settings (`--omit=dev` becomes `npm_config_omit`)
 * must not decide what is installed here. Where packages come from, and where they are cached, still counts.
 */
function cleanEnvironment() {
  const kept =
    /^npm_config_(.*registry|cache|userconfig|globalconfig|.*proxy|ca|cafile|strict[-_]ssl|offline|prefer[-_]offline|\/\/.*)$/i;
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => name !== 'NODE_ENV' && (!name.toLowerCase().startsWith('npm_') || kept.test(name)),
    ),
  );
}

function npmCommand() {
  const outer = process.env['npm_execpath'] ?? '';
  if (/[\\/]npm-cli\.c?js$/.test(outer) && existsSync(outer)) return [process.execPath, outer];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
}

/** npm explains itself at length: its first lines say what is wrong. @param {string} text */
function firstLines(text) {
  const lines = text.split('\n').filter((line) => line.replace(/^npm error/, '').trim() !== '');
  return lines.slice(0, 12).join('\n') + (lines.length > 12 ? `\n(and ${lines.length - 12} more lines)` : '');
}

requireNode();
const wanted = wantedStamp();
const reason = reasonToInstall(wanted);
if (reason !== null) {
  process.stdout.write(`Installing dependencies (npm ci): ${reason}\n`);
  const [command, ...first] = npmCommand();
  const npm = spawnSync(
    command,
    [
      ...first,
      'ci',
      '--include=dev',
      '--include=optional',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ],
    { cwd: root, env: cleanEnvironment(), encoding: 'utf8', shell: process.platform === 'win32' },
  );
  if (npm.error !== undefined || npm.status !== 0) {
    const said = npm.error?.message ?? firstLines(`${npm.stdout}${npm.stderr}`);
    fail(
      'Installing the dependencies failed',
      `"npm ci" ended with ${npm.error ? 'an error' : `exit code ${npm.status ?? npm.signal}`}:\n${said}`,
      'check the network and the npm registry setting ("npm ping"), remove node_modules, and run the command again',
    );
  }
  writeFileSync(stampFile, wanted);
}
