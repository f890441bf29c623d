// What must be true of the image in a workspace, where other things go wrong and others read. Each check is whole in itself.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { lastWords, until } from './command.mjs';
import { airlock } from './outside.mjs';
import { Sidecar } from './sidecar.mjs';

const PLUGIN = 'house-rules';
const SKILL = 'skills/write-a-commit/SKILL.md';
const MEGABYTE = 1024 * 1024;
const BIG = { name: 'big', files: 200, bytes: 500_000 };
/** How much larger than its base the image may be. */
const MOST_ADDED = 40 * MEGABYTE;

/**
 * @param {{engine: import('./engine.mjs').Engine, sidecar: Sidecar, repository: string, base: string, undo: import('./command.mjs').Undo}} test
 * @returns {[title: string, check: () => Promise<string | void>][]} a check may return a remark for its line
 */
export function workspaceChecks({ engine, sidecar, repository, base, undo }) {
  const { docker } = engine;
  const { image, name } = sidecar;
  let folder = '';
  const ask = (...args) => airlock(repository, sidecar, args);
  const statuses = async (of = sidecar) => {
    const plugins = JSON.parse((await airlock(repository, of, ['list'])).stdout);
    return Object.fromEntries(plugins.map((plugin) => [plugin.name, plugin.status]));
  };
  const isIntact = async (of, plugin) =>
    assert.match((await airlock(repository, of, ['verify', plugin])).stdout, /"verdict": ?"intact"/);
  const must = async (running) => {
    const ended = await running;
    assert.equal(ended.code, 0, lastWords(ended));
    return ended.stdout.trim();
  };

  /** Starts a runtime with a mount, waits for its first line, and gives what it has said so far. */
  async function startRuntime(of, mount) {
    const own = `${name}-${of}`;
    undo.add(`remove the container ${own}`, () => docker('rm', '-f', own));
    const how = ['--name', own, '--network', 'none', '-v', mount, '--entrypoint', 'node'];
    await must(docker('create', ...how, image, '/opt/airlock/runtime.cjs'));
    await must(docker('cp', path.join(repository, 'dist/loader.cjs'), `${own}:/opt/airlock/`));
    await must(docker('cp', path.join(repository, 'test/image/runtime.cjs'), `${own}:/opt/airlock/`));
    await must(docker('start', own));
    /** Waits for a line. @param {(line: Record<string, unknown>) => boolean} is */
    const line = async (is) => {
      let said = '';
      const found = await until(async () => {
        const { stdout, stderr } = await docker('logs', own);
        said = stdout + stderr;
        const lines = stdout.split('\n').filter((text) => text.startsWith('{'));
        return lines.map((text) => JSON.parse(text)).find(is);
      }, 30);
      return found ?? assert.fail(`The runtime does not say what it should, but:\n${said}`);
    };
    return line;
  }

  return [
    [
      'it is little larger than its base',
      async () => {
        const [own, below] = await Promise.all(
          [image, base].map(async (one) =>
            Number(await must(docker('image', 'inspect', one, '--format', '{{.Size}}'))),
          ),
        );
        assert.ok(own - below < MOST_ADDED, `It adds ${own - below} bytes`);
        return `${Math.round(own / MEGABYTE)} MiB, ${((own - below) / MEGABYTE).toFixed(1)} MiB of it its own`;
      },
    ],
    [
      'nothing in it is writable but the volume',
      async () => {
        await sidecar.remove();
        await sidecar.start();
        const { writable } = await sidecar.inside(WRITABLE);
        assert.ok(writable.includes('/configs/plugins'));
        assert.deepEqual(
          writable.filter((place) => !/^\/configs(\/|$)/.test(place)),
          [],
        );
      },
    ],
    [
      'a runtime beside it admits the plugin on a volume that it may only read, and hears that a skill has changed',
      async () => {
        folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-workspace-'));
        undo.add('remove the plugins of the test', () => rm(folder, { recursive: true, force: true }));
        const source = path.join(folder, PLUGIN);
        await cp(path.join(repository, 'examples/plugins', PLUGIN), source, { recursive: true });
        await ask('push', source);
        const line = await startRuntime('runtime', `${sidecar.volume}:/configs:ro`);
        const first = await line(({ admitted }) => admitted !== undefined);
        assert.deepEqual(first, { admitted: [PLUGIN], warnings: [] });
        await appendFile(path.join(source, SKILL), '\nOne more rule.\n');
        const { reload } = JSON.parse((await ask('push', source)).stdout);
        assert.equal(reload.action, 'hot');
        const heard = await line(({ plugin }) => plugin === PLUGIN);
        assert.equal(heard.kind, 'skill-content-only');
        assert.equal(heard.status, 'admitted');
      },
    ],
    [
      'a runtime into which one plugin is mounted by itself says so',
      async () => {
        const volume = await must(docker('volume', 'inspect', sidecar.volume, '--format', '{{.Mountpoint}}'));
        const line = await startRuntime(
          'narrow',
          `${volume}/plugins/${PLUGIN}:/configs/plugins/${PLUGIN}:ro`,
        );
        const { admitted, warnings } = await line((said) => said.admitted !== undefined);
        assert.deepEqual(admitted, [PLUGIN]);
        assert.equal(warnings.length, 1);
        assert.match(warnings[0], /"house-rules" is mounted by itself .* no update of it arrives here/);
      },
    ],
    [
      'a plugin of 100 MB is installed within 256 MB of memory',
      async () => {
        const big = path.join(folder, BIG.name);
        await mkdir(big);
        await writeFile(path.join(big, 'plugin.yaml'), `name: ${BIG.name}\nversion: 1.0.0\n`);
        for (let i = 0; i < BIG.files; i += 1) {
          await writeFile(path.join(big, `${i}.bin`), randomBytes(BIG.bytes));
        }
        await airlock(repository, sidecar, ['push', big], { seconds: 100 });
        await isIntact(sidecar, BIG.name);
        const state = '{{.HostConfig.Memory}} {{.State.OOMKilled}}';
        const limit = await must(docker('inspect', name, '--format', state));
        assert.equal(limit, `${256 * MEGABYTE} false`);
        await ask('uninstall', BIG.name);
      },
    ],
    [
      'killed while it takes a plugin, it comes back without half of it',
      async () => {
        const big = path.join(folder, BIG.name);
        const pushed = airlock(repository, sidecar, ['push', big, '--force'], { code: null, seconds: 20 });
        const begun = await until(async () => {
          const { staged } = await sidecar.inside(STAGED);
          return staged.some((file) => file.endsWith('.bin')) || undefined;
        }, 20);
        assert.equal(begun, true, 'The push did not get as far as its files');
        await must(docker('kill', '--signal', 'KILL', name));
        await must(docker('start', name));
        await sidecar.healthy();
        await pushed;
        await sidecar.restart();
        const { staged } = await sidecar.inside(STAGED);
        assert.deepEqual(staged, []);
        const plugins = await statuses();
        assert.equal(plugins[PLUGIN], 'admitted');
        await isIntact(sidecar, PLUGIN);
        assert.equal(plugins[BIG.name], undefined);
        await airlock(repository, sidecar, ['push', big, '--force'], { seconds: 100 });
        await isIntact(sidecar, BIG.name);
      },
    ],
    [
      'on a full volume an install is refused with its code, and what is live stays whole',
      async () => {
        const volume = `${name}-small`;
        const options = ['type=tmpfs', 'device=tmpfs', 'o=size=32m,uid=1000,gid=1000,mode=0755'];
        await must(docker('volume', 'create', ...options.flatMap((option) => ['--opt', option]), volume));
        undo.add(`remove the volume ${volume}`, () => docker('volume', 'rm', '-f', volume));
        const { token } = sidecar;
        const small = new Sidecar(engine, { image, name: volume, volume, token });
        undo.add(`remove the container ${volume}`, () => small.remove());
        await small.start();
        await airlock(repository, small, ['push', path.join(folder, PLUGIN)]);
        const big = ['push', path.join(folder, BIG.name)];
        const refused = await airlock(repository, small, big, { code: 1, seconds: 100 });
        assert.match(refused.stdout + refused.stderr, /NO_SPACE/);
        assert.deepEqual(await statuses(small), { [PLUGIN]: 'admitted' });
        await isIntact(small, PLUGIN);
        const { code } = await small.stop();
        assert.equal(code, 0);
      },
    ],
  ];
}

/** The directories and files that this user may write. `/dev/mqueue` is no place for files: it shows queues of the kernel. */
const WRITABLE = `
  const fs = require('node:fs');
  const writable = [];
  const may = (place) => { try { fs.accessSync(place, fs.constants.W_OK); return true; } catch { return false; } };
  const walk = (folder) => {
    if (may(folder || '/')) writable.push(folder || '/');
    let entries = [];
    try { entries = fs.readdirSync(folder || '/', { withFileTypes: true }); } catch {}
    for (const entry of entries) {
      const place = folder + '/' + entry.name;
      if (entry.isDirectory()) { if (!/^\\/(proc|sys|dev\\/mqueue)$/.test(place)) walk(place); }
      else if (entry.isFile() && may(place)) writable.push(place);
    }
  };
  walk('');
  console.log(JSON.stringify({ writable }));
`;

/** What lies in staging. */
const STAGED = `
  const fs = require('node:fs');
  const staging = '/configs/plugins/.staging';
  console.log(JSON.stringify({ staged: fs.existsSync(staging) ? fs.readdirSync(staging, { recursive: true }) : [] }));
`;
