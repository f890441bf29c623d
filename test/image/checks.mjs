// What must be true of the image, each as one check with a title. They build on each other and run in this order.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

import { lastWords } from './command.mjs';
import { airlock as runAirlock } from './outside.mjs';

const PLUGIN = 'house-rules';
const LIVE = `/configs/plugins/${PLUGIN}`;

/**
 * @param {{engine: import('./engine.mjs').Engine, sidecar: import('./sidecar.mjs').Sidecar, repository: string, version: string}} test
 * @returns {[title: string, check: () => Promise<string | void>][]} a check may return a remark for its line
 */
export function checksOf({ engine, sidecar, repository, version }) {
  const { image, token } = sidecar;
  const source = path.join(repository, 'examples', 'plugins', PLUGIN);

  const airlock = (args, code = 0, asToken = token) =>
    runAirlock(repository, { url: sidecar.url, token: asToken }, args, { code });
  const json = async (...args) => JSON.parse((await airlock(args)).stdout);

  async function isThere() {
    const plugins = await json('list');
    const found = plugins.find(({ name }) => name === PLUGIN);
    assert.equal(found?.status, 'admitted', `"airlock list" does not show ${PLUGIN} as admitted`);
    assert.equal(found.version, '1.0.0');
  }

  return [
    [
      'it runs as user 1000, with a health check, a port and labels',
      async () => {
        const [{ Config: config }] = JSON.parse((await engine.docker('image', 'inspect', image)).stdout);
        assert.equal(config.User, '1000:1000');
        assert.deepEqual(Object.keys(config.ExposedPorts), ['7423/tcp']);
        assert.equal(config.Healthcheck.Test[0], 'CMD');
        assert.deepEqual(config.Cmd, ['agent']);
        assert.equal(config.Labels['org.opencontainers.image.version'], version);
      },
    ],
    [
      'it holds the bundle, koffi and nothing else: no npm, no sources',
      async () => {
        const looked = await engine.docker(
          'run',
          '--rm',
          '--entrypoint',
          'node',
          image,
          '--eval',
          LOOK_AROUND,
        );
        assert.equal(looked.code, 0, lastWords(looked));
        const { bundled, native, strange } = JSON.parse(looked.stdout);
        assert.deepEqual(bundled, [
          'LICENSE',
          'airlock',
          'airlock.mjs',
          'airlock.mjs.LEGAL.txt',
          'node_modules',
        ]);
        assert.deepEqual(native, ['@koromix', 'koffi']);
        assert.deepEqual(strange, []);
      },
    ],
    [
      'without a token it does not start, and says why',
      async () => {
        const refused = await engine.docker('run', '--rm', image);
        assert.ok(
          refused.code === 1 || refused.code === 2,
          `It ended with ${refused.code}:\n${lastWords(refused)}`,
        );
        assert.match(refused.stdout + refused.stderr, /token/i);
      },
    ],
    [
      'it becomes healthy on a read-only file system without capabilities',
      async () => {
        await sidecar.start();
        return `reached over ${sidecar.network}`;
      },
    ],
    [
      'process 1 is Node itself, as user 1000',
      async () => {
        const { uid, command } = await sidecar.inside(PROCESS_ONE);
        assert.equal(uid, '1000');
        assert.deepEqual(command, ['node', '/opt/airlock/airlock.mjs', 'agent']);
      },
    ],
    [
      'its health check fails where nothing answers',
      async () => {
        const [{ Config: config }] = JSON.parse((await engine.docker('image', 'inspect', image)).stdout);
        const nowhere = ['exec', '-e', 'AIRLOCK_LISTEN=0.0.0.0:9', sidecar.name];
        const asked = await engine.docker(...nowhere, ...config.Healthcheck.Test.slice(1));
        assert.equal(asked.code, 1, lastWords(asked));
      },
    ],
    [
      'it swaps by exchange, under locks that die with their holder',
      async () => {
        const { swap, locks } = await json('status');
        assert.deepEqual([swap, locks], ['exchange', 'flock']);
      },
    ],
    [
      'a plugin is pushed from outside',
      async () => {
        const answer = await json('push', source);
        assert.equal(answer.status, 'installed');
        assert.equal(answer.plugin, PLUGIN);
      },
    ],
    ['pushed again, it is present', async () => assert.equal((await json('push', source)).status, 'present')],
    ['it is listed as admitted', isThere],
    [
      'its files are the same inside, owned by user 1000, with the marker',
      async () => {
        const { files, owners, marker } = await sidecar.inside(READ_BACK);
        assert.deepEqual(files, filesOf(source));
        assert.deepEqual(owners, ['1000:1000']);
        assert.equal(marker.plugin, PLUGIN);
        assert.equal(marker.files, files.length);
        return `${files.length} files`;
      },
    ],
    [
      'it verifies as intact',
      async () => assert.match((await airlock(['verify', PLUGIN])).stdout, /"verdict": ?"intact"/),
    ],
    [
      'a wrong token is refused with exit code 4',
      async () => {
        const refused = await airlock(['list'], 4, 'x'.repeat(40));
        assert.match(refused.stdout + refused.stderr, /token|unauthenticated/i);
      },
    ],
    [
      'a restart keeps the plugin',
      async () => {
        await sidecar.restart();
        await isThere();
      },
    ],
    [
      'a new container on the same volume has it too',
      async () => {
        await sidecar.remove();
        await sidecar.start();
        await isThere();
      },
    ],
    ['no log line holds the token', async () => assert.ok(!(await sidecar.logs()).includes(token))],
    [
      'docker stop ends it with exit code 0 within 20 s',
      async () => {
        const { code, seconds } = await sidecar.stop();
        assert.equal(code, 0, `It ended with ${code} after ${seconds.toFixed(1)} s`);
        assert.ok(seconds < 20, `It took ${seconds.toFixed(1)} s`);
        return `${seconds.toFixed(1)} s`;
      },
    ],
  ];
}

/** Every file of a directory as path, mode and sha256, sorted by path. Also runs inside the container. */
function filesOf(root) {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name !== '.complete')
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted()
    .map((file) => ({
      path: path.relative(root, file),
      mode: (statSync(file).mode & 0o100) === 0 ? '644' : '755',
      sha256: createHash('sha256').update(readFileSync(file)).digest('hex'),
    }));
}

const READ_BACK = `
  const { createHash } = require('node:crypto');
  const { lstatSync, readFileSync, readdirSync, statSync } = require('node:fs');
  const path = require('node:path');
  ${filesOf.toString()}
  const root = ${JSON.stringify(LIVE)};
  const all = [root, ...readdirSync(root, { recursive: true }).map((name) => path.join(root, name))];
  const owners = [...new Set(all.map((file) => lstatSync(file)).map(({ uid, gid }) => uid + ':' + gid))];
  const marker = JSON.parse(readFileSync(path.join(root, '.complete'), 'utf8'));
  console.log(JSON.stringify({ files: filesOf(root), owners, marker }));
`;

const PROCESS_ONE = `
  const { readFileSync } = require('node:fs');
  const [, uid] = /^Uid:\\s+(\\d+)/m.exec(readFileSync('/proc/1/status', 'utf8'));
  const command = readFileSync('/proc/1/cmdline', 'utf8').split('\\0').filter(Boolean);
  console.log(JSON.stringify({ uid, command }));
`;

/** What lies in the bundle's directory, and what anywhere else looks like npm's or like a source. */
const LOOK_AROUND = `
  const { readdirSync } = require('node:fs');
  const strange = [];
  const walk = (folder) => {
    let entries = [];
    try { entries = readdirSync(folder, { withFileTypes: true }); } catch {}
    for (const entry of entries) {
      const file = folder + '/' + entry.name;
      if (file === '/opt/airlock/node_modules') continue;
      if (/^(node_modules|npm|npx|package(-lock)?\\.json|.*\\.ts)$/.test(entry.name)) strange.push(file);
      else if (entry.isDirectory() && !/^\\/(proc|sys|dev)$/.test(file)) walk(file);
    }
  };
  walk('');
  const bundled = readdirSync('/opt/airlock').sort();
  const native = readdirSync('/opt/airlock/node_modules').sort();
  console.log(JSON.stringify({ bundled, native, strange }));
`;
