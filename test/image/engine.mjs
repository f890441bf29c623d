// Finds a container engine: the one that `docker info` reaches (DOCKER_HOST counts), else a private one that lives in
// a temporary directory and ends with the test. The private one needs root, Linux and, if dockerd is missing, apt.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { lastWords, run, until } from './command.mjs';

const BRIDGE = 'docker0';
const SEARCH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * @typedef {(...args: string[]) => Promise<import('./command.mjs').Ended>} Docker runs one docker command
 * @typedef {{docker: Docker, build: Docker, version: string, own: boolean}} Engine
 */

/**
 * @param {import('./command.mjs').Undo} undo is given the stopping and removing of a private engine
 * @param {(line: string) => void} say
 * @param {{install?: boolean}} [options] `install`: whether a missing engine may be installed (true)
 * @returns {Promise<Engine | {missing: string}>} `missing` says why there is none
 */
export async function findEngine(undo, say, { install = true } = {}) {
  const running = await reach('docker', process.env);
  if (running !== undefined) return running;
  if (process.env['DOCKER_HOST']) {
    return { missing: `no engine answers at DOCKER_HOST=${process.env['DOCKER_HOST']}` };
  }
  if (process.platform !== 'linux') return { missing: 'no container engine is running' };
  if (process.getuid?.() !== 0) {
    return { missing: 'no container engine is running, and only root can start one' };
  }

  if (find('dockerd') === undefined) {
    if (!install) return { missing: 'no container engine is running or installed' };
    const failure = await installEngine(say);
    if (failure !== undefined) return { missing: failure };
    // Where there is an init system, installing the package has also started it.
    const started = await reach('docker', process.env);
    if (started !== undefined) return started;
  }
  return startEngine(undo, say);
}

/** The engine that a client reaches, or undefined. */
async function reach(client, env, own = false) {
  const info = await run(client, ['version', '--format', '{{.Server.Version}}'], { env, seconds: 15 });
  const version = info.stdout.trim();
  if (info.code !== 0 || version === '') return undefined;
  /** @type {Docker} */
  const docker = (...args) => run(client, args, { env, seconds: 120 });
  return { docker, build: builder(client, env), version, own };
}

/** `docker build` with BuildKit where the client can, else with the builder that the engine has itself. */
function builder(client, env) {
  return async (...args) => {
    const options = { seconds: 600, env: { ...env, DOCKER_BUILDKIT: '1', BUILDKIT_PROGRESS: 'plain' } };
    const built = await run(client, ['build', ...args], options);
    if (built.code === 0 || !built.stderr.includes('buildx component is missing')) return built;
    return run(client, ['build', '--force-rm', ...args], {
      ...options,
      env: { ...env, DOCKER_BUILDKIT: '0' },
    });
  };
}

async function installEngine(say) {
  const apt = find('apt-get');
  if (apt === undefined) return 'no container engine is installed, and there is no apt-get to install one';
  say('Installing docker.io: no container engine is running');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = (...packages) =>
    run(apt, ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env, seconds: 300 });
  await run(apt, ['update', '-qq'], { env, seconds: 120 });
  const installed = await install('docker.io');
  if (installed.code !== 0) return `installing docker.io failed:\n${lastWords(installed)}`;
  // Newer releases keep the client in a package of its own.
  if (find('docker') === undefined) await install('docker-cli', 'docker-buildx');
  return find('docker') === undefined ? 'docker.io was installed but brought no client' : undefined;
}

async function startEngine(undo, say) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-engine-'));
  undo.add('remove the directory of the private engine', () => removeFolder(folder));
  const hadBridge = existsSync(`/sys/class/net/${BRIDGE}`);
  undo.add(`remove the interface ${BRIDGE}`, () => hadBridge || run('ip', ['link', 'delete', BRIDGE]));

  const socket = `unix://${folder}/sock`;
  const places = [
    '--data-root',
    `${folder}/data`,
    '--exec-root',
    `${folder}/exec`,
    '--pidfile',
    `${folder}/pid`,
  ];
  const log = await open(path.join(folder, 'log'), 'w');
  // A session of its own: Ctrl-C must reach this test first, which then stops the containers before the engine.
  const daemon = spawn(find('dockerd') ?? 'dockerd', ['-H', socket, ...places], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: { ...process.env, PATH: SEARCH.join(':') },
  });
  const ended = new Promise((resolve) => daemon.once('close', resolve).once('error', resolve));
  await log.close();
  undo.add('stop the private engine', () => stopEngine(daemon, ended, folder));

  const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : (find('docker') ?? 'docker');
  const env = { ...process.env, DOCKER_HOST: socket };
  let gone = false;
  void ended.then(() => (gone = true));
  const engine = await until(async () => (gone ? null : reach(client, env, true)), 90);
  if (engine) {
    say(`Started a private engine ${engine.version} in ${folder}`);
    return engine;
  }
  const said = readFileSync(path.join(folder, 'log'), 'utf8').trim().split('\n').slice(-5).join('\n');
  return { missing: `a private engine ${gone ? 'ended at once' : 'did not answer within 90 s'}:\n${said}` };
}

async function stopEngine(daemon, ended, folder) {
  // Its containerd is a child that outlives a killed dockerd.
  const containerd = Number(readIfThere(path.join(folder, 'exec', 'containerd', 'containerd.pid')) || 0);
  daemon.kill('SIGTERM');
  const timer = setTimeout(() => {
    daemon.kill('SIGKILL');
    if (containerd > 1) process.kill(containerd, 'SIGKILL');
  }, 20_000);
  await ended;
  clearTimeout(timer);
}

async function removeFolder(folder) {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mount) => mount.startsWith(`${folder}/`));
  for (const mount of mounts.toReversed()) await run('umount', ['-l', mount]);
  await rm(folder, { recursive: true, force: true });
}

function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
}

/** A program's path; an administrator's directories count even where PATH leaves them out. */
function find(program) {
  const folders = [...(process.env['PATH'] ?? '').split(':'), ...SEARCH];
  return folders.map((folder) => path.join(folder || '.', program)).find((file) => existsSync(file));
}
