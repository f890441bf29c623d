// The image to build on: the official one where the engine has it or can pull it, else a stand-in made of this
// machine's own programs. The stand-in is Node, npm, a shell and the libraries that they need; never for real use.
import { existsSync, realpathSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { lastWords, run } from './command.mjs';

const OFFICIAL = 'node:24-bookworm-slim';
/** What the two stages of the Dockerfile and npm's own scripts call. */
const TOOLS = ['sh', 'env', 'mkdir', 'chown', 'rm'];
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/**
 * @param {import('./engine.mjs').Engine} engine
 * @param {string} tag what a stand-in is called
 * @param {string} repository the checkout
 * @param {import('./command.mjs').Undo} undo
 * @returns {Promise<{image: string, what: string}>}
 */
export async function baseImage(engine, tag, repository, undo) {
  if ((await engine.docker('image', 'inspect', OFFICIAL)).code === 0) {
    return { image: OFFICIAL, what: 'already there' };
  }
  if ((await engine.docker('pull', '--quiet', OFFICIAL)).code === 0) {
    return { image: OFFICIAL, what: 'pulled' };
  }
  if (process.platform !== 'linux') {
    throw new Error(
      `Cannot get ${OFFICIAL}: the engine can neither find nor pull it; pull it by hand and run again`,
    );
  }
  const folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-base-'));
  undo.add('remove the stand-in for the base image', () => rm(folder, { recursive: true, force: true }));
  const node = await nodeBinary(repository);
  const root = path.join(folder, 'root');
  await fill(root, node.file);
  const archive = path.join(folder, 'base.tar');
  await must(run('tar', ['-C', root, '--numeric-owner', '--owner=0', '--group=0', '-cf', archive, '.']));
  undo.add(`remove the image ${tag}`, () => removeWithCache(engine.docker, tag));
  await must(engine.docker('import', archive, tag));
  await rm(folder, { recursive: true, force: true });
  return { image: tag, what: `a stand-in with Node ${node.version}: ${OFFICIAL} cannot be pulled here` };
}

/**
 * Removes the stand-in and what an old builder keeps of the stages that were built on it: nobody can use it again.
 * @param {import('./engine.mjs').Docker} docker @param {string} tag
 */
async function removeWithCache(docker, tag) {
  const words = async (...args) => (await docker(...args)).stdout.split(/\s+/).filter(Boolean);
  const firstLayer = ['image', 'inspect', '--format', '{{index .RootFS.Layers 0}}'];
  const [base] = await words(...firstLayer, tag);
  for (const id of await words('images', '-q', '--filter', 'dangling=true', '--filter', `since=${tag}`)) {
    if ((await words(...firstLayer, id))[0] === base) await docker('rmi', '-f', id);
  }
  await docker('rmi', '-f', tag);
}

/** Node 24 where npm has it for this machine, else the Node that runs this. */
async function nodeBinary(repository) {
  const script = path.join(repository, 'scripts', 'with-node.mjs');
  const print = 'process.stdout.write(`\\n${process.execPath} ${process.versions.node}`)';
  const fetched = await run(process.execPath, [script, '24', 'node', '-e', print], {
    cwd: repository,
    seconds: 300,
  });
  const [file = '', version = ''] = (fetched.stdout.split('\n').at(-1) ?? '').split(' ');
  if (fetched.code === 0 && existsSync(file)) return { file, version };
  return { file: process.execPath, version: process.versions.node };
}

async function fill(root, node) {
  for (const folder of [
    'dev',
    'proc',
    'sys',
    'root',
    'run',
    'etc/ssl/certs',
    'home/node',
    'usr/local/bin',
    'usr/local/etc',
  ]) {
    await mkdir(path.join(root, folder), { recursive: true });
  }
  for (const folder of ['tmp', 'var/tmp']) {
    await mkdir(path.join(root, folder), { recursive: true });
    await chmod(path.join(root, folder), 0o1777);
  }
  await placeTools(root, TOOLS, [node]);
  await copyFile(node, path.join(root, 'usr/local/bin/node'));
  const npm = path.dirname(path.dirname(realpathSync(await npmFile())));
  await cp(npm, path.join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', path.join(root, 'usr/local/bin/npm'));

  const etc = path.join(root, 'etc');
  await writeFile(
    path.join(etc, 'passwd'),
    'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n',
  );
  await writeFile(path.join(etc, 'group'), 'root:x:0:\nnode:x:1000:\n');
  await writeFile(path.join(etc, 'nsswitch.conf'), 'hosts: files dns\n');
  if (process.getuid?.() === 0) await chown(path.join(root, 'home/node'), 1000, 1000);
  await trust(root);
}

/**
 * Copies programs of this machine below `root`, with the libraries that they need.
 * @param {string} root @param {string[]} tools the names of programs
 * @param {string[]} [users] files that are not copied, but whose libraries are
 */
export async function placeTools(root, tools, users = []) {
  // Where /bin is a link to /usr/bin on this machine, it must be one there: programs name both.
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    const target = await readlink(`/${name}`).catch(() => undefined);
    if (target === undefined) continue;
    await mkdir(path.join(root, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, path.join(root, name));
  }
  const files = tools.map((tool) =>
    ['/usr/bin', '/bin'].map((bin) => `${bin}/${tool}`).find((file) => existsSync(file)),
  );
  const needed = files.filter((file) => file !== undefined);
  const linked = await must(run('ldd', [...needed, ...users]));
  const libraries = new Set(linked.stdout.match(/\/\S+\.so[.\d]*/g) ?? []);
  for (const file of [...needed, ...libraries]) await place(root, file);
}

/** Whom this machine trusts, and where its packages come from: `npm ci` must work in the build as it does here. */
async function trust(root) {
  const lines = [];
  const registry = await run('npm', ['config', 'get', 'registry'], { cwd: os.tmpdir() });
  if (registry.code === 0) lines.push(`registry=${registry.stdout.trim()}`);
  if (existsSync(CERTIFICATES)) {
    await place(root, CERTIFICATES);
    lines.push(`cafile=${CERTIFICATES}`);
  }
  await writeFile(path.join(root, 'usr/local/etc/npmrc'), `${lines.join('\n')}\n`);
}

/** Copies a file to the same path under `root`; links in the path are followed, so that it is found there too. */
async function place(root, file) {
  const to = path.join(root, realpathSync(path.dirname(file)), path.basename(file));
  await mkdir(path.dirname(to), { recursive: true });
  await copyFile(realpathSync(file), to);
}

async function npmFile() {
  const outer = process.env['npm_execpath'] ?? '';
  if (/npm-cli\.c?js$/.test(outer)) return outer;
  const beside = path.join(path.dirname(process.execPath), 'npm');
  if (existsSync(beside)) return beside;
  return (await must(run('sh', ['-c', 'command -v npm']))).stdout.trim();
}

/** @param {Promise<import('./command.mjs').Ended>} running */
async function must(running) {
  const ended = await running;
  if (ended.code === 0) return ended;
  throw new Error(`Making a stand-in for ${OFFICIAL} failed:\n${lastWords(ended)}`);
}
