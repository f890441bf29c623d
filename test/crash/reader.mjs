// A runtime's reader in a process of its own, for readers.test.ts: it looks at one plugin as fast as it can, until its
// standard input ends, then prints what it saw. Usage: node reader.mjs LOADER ROOT NAME
import { readFile, readdir, stat } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import timers from 'node:timers/promises';

const [loaderFile = '', root = '', name = ''] = process.argv.slice(2);
const seen = {
  gates: 0,
  /** Times that the gate had to pause. */
  waits: 0,
  longestGate: 0,
  reads: 0,
  /** Times that a reader was run again. */
  again: 0,
  /** Reads that were given up: replaced three times in a row. */
  gaveUp: 0,
  plain: 0,
  plainAbsent: 0,
  careless: 0,
  /** Careless reads that missed a file. */
  carelessMissing: 0,
  generations: 0,
  /** What breaks a promise of the loader, a line each. */
  broken: [],
  /** What a reader without the loader read to its end that never was one version. */
  torn: [],
};

// Before the loader is loaded: nothing but the gate pauses here.
const { setTimeout: pause } = timers;
timers.setTimeout = (...given) => {
  seen.waits += 1;
  return pause(...given);
};
syncBuiltinESMExports();
const { createLoader } = await import(loaderFile);
const loader = createLoader({ roots: [root] });

const live = path.join(root, name);
/** Every file of the plugin names its version; of a manifest it is a line among others. */
const versionIn = (text) => /version:? "?([\d.]+)/.exec(text)?.[1];

/** @returns what is wrong with the files below a directory, if they are not of one version. */
async function mixtureIn(directory, generation) {
  const marker = JSON.parse(await readFile(path.join(directory, '.complete'), 'utf8'));
  if (generation !== undefined && marker.installId !== generation) {
    return `${marker.installId} where ${generation} was promised`;
  }
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== '.complete');
  const versions = [];
  for (const file of files) {
    versions.push(versionIn(await readFile(path.join(file.parentPath, file.name), 'utf8')));
  }
  const odd = versions.filter((version) => version !== marker.pluginVersion);
  return files.length === marker.files && odd.length === 0
    ? undefined
    : `${files.length} files of ${marker.files}, of the versions ${[marker.pluginVersion, ...versions].join(' ')}`;
}

let last = '';
async function askGate() {
  const begun = performance.now();
  const answer = await loader.gate(name);
  seen.gates += 1;
  seen.longestGate = Math.max(seen.longestGate, performance.now() - begun);
  if (!answer.admitted) {
    seen.broken.push(`the gate: ${answer.reason}: ${answer.detail}`);
  } else if (answer.plugin.generation < last) {
    seen.broken.push(`the gate: ${answer.plugin.generation} after ${last}`);
  } else if (answer.plugin.generation !== last) {
    seen.generations += 1;
    last = answer.plugin.generation;
  }
}

async function readWithLoader() {
  seen.reads += 1;
  let runs = 0;
  try {
    const mixture = await loader.read(name, async (directory, { generation }) => {
      runs += 1;
      return mixtureIn(directory, generation);
    });
    if (mixture !== undefined) seen.broken.push(`read: ${mixture}`);
  } catch (error) {
    if (error.code === 'LOCKED' && error.message.endsWith('while it was read')) seen.gaveUp += 1;
    else seen.broken.push(`read: ${error.message}`);
  }
  seen.again += Math.max(0, runs - 1);
}

async function readPlainly() {
  seen.plain += 1;
  try {
    await stat(path.join(live, 'plugin.yaml'));
    await readFile(path.join(live, 'plugin.yaml'), 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    seen.plainAbsent += 1;
  }
}

async function readCarelessly() {
  seen.careless += 1;
  try {
    const mixture = await mixtureIn(live);
    if (mixture !== undefined) seen.torn.push(mixture);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    seen.carelessMissing += 1;
  }
}

const ended = new AbortController();
process.stdin.once('end', () => ended.abort()).resume();
process.stdout.write('ready\n');
while (!ended.signal.aborted) {
  await askGate();
  await readWithLoader();
  await readPlainly();
  await readCarelessly();
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
