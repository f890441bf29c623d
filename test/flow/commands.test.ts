import { once } from 'node:events';
import { cp, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { deafPort } from '../_kit/deaf-port.ts';
import { Program, examplePlugin } from '../_kit/program.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';
import { until } from '../_kit/until.ts';
import { type ZipPart, zipOf } from '../_kit/zip-builder.ts';

let program: Program;

beforeAll(async () => {
  program = await Program.open();
  await program.serve();
});
afterAll(() => program.close());

/** The example plugin in another version. */
async function version(number: string): Promise<string> {
  const folder = join(program.folder, `v${number}`, 'house-rules');
  await cp(examplePlugin, folder, { recursive: true });
  const manifest = await readFile(join(folder, 'plugin.yaml'), 'utf8');
  await writeFile(join(folder, 'plugin.yaml'), manifest.replace(/^version: .*$/m, `version: ${number}`));
  return folder;
}

describe('airlock push', () => {
  it('installs a directory, and the second push of it is present without a byte sent', async () => {
    const pushed = await program.run(['push', examplePlugin, '--to', program.url, '--json']);
    // What is present has replaced nothing, and says no version.
    const { replacedVersion, ...first } = JSON.parse(pushed.stdout) as Record<string, unknown>;
    expect(replacedVersion).toBeNull();
    expect(first).toMatchObject({ status: 'installed', plugin: 'house-rules', replaced: null, by: 'token' });
    // The last step of the first one comes after its answer.
    await until(() => expect(program.log.some(({ step }) => step === 'collect')).toBe(true));
    const opened = program.log.filter(({ event }) => event === 'install.progress').length;
    const second = await program.json(['push', examplePlugin]);
    expect(second).toMatchObject({ ...first, status: 'present', reload: { action: 'none' } });
    expect(program.log.filter(({ event }) => event === 'install.progress')).toHaveLength(opened);
  });

  it('installs what it packed: the files are the same, byte for byte', async () => {
    const live = await snapshotTree(join(program.root, 'house-rules'));
    delete live['.complete'];
    const source = await snapshotTree(examplePlugin);
    expect(live).toEqual(source);
  });

  it('takes a zip, of which it makes the same bundle, and names every violation of a hostile one', async () => {
    const file = join(program.folder, 'house-rules.skill');
    const paths = Object.keys(await snapshotTree(examplePlugin));
    const parts = paths.map(async (path): Promise<ZipPart[]> => {
      const stats = await stat(join(examplePlugin, path));
      const body = stats.isFile() ? await readFile(join(examplePlugin, path)) : undefined;
      return body === undefined ? [] : [{ name: `top/${path}`, body, mode: stats.mode }];
    });
    await writeFile(file, zipOf((await Promise.all(parts)).flat()));
    expect(await program.json(['push', file])).toMatchObject({ status: 'present', plugin: 'house-rules' });
    expect(await program.here(['pack', file, '--out', join(program.folder, 'zipped.tgz')])).toMatchObject({
      code: 0,
    });
    await writeFile(file, zipOf([{ name: '../x' }, { name: '/y' }]));
    const { code, stderr } = await program.here(['push', file, '--to', program.url]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/refused for 2 violations[^]*\.\.\/x[^]*\/y/)]);
  });

  it('replaces a version and says what it replaced', async () => {
    const { installId } = (await program.json(['push', examplePlugin])) as { installId: string };
    const update = await program.json(['push', await version('1.1.0'), '--expect', installId]);
    expect(update).toMatchObject({ status: 'installed', pluginVersion: '1.1.0', replaced: installId });
    // The answer comes before the house-keeping.
    await until(async () => expect(await readdir(join(program.root, '.staging'))).toEqual([]));
    expect(await readdir(join(program.root, '.previous'))).toHaveLength(1);
  });

  it('is refused with exit code 1 when something else is live than expected', async () => {
    const { code, stderr } = await program.here([
      'push',
      await version('1.2.0'),
      '--to',
      program.url,
      '--expect',
      'none',
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain('CONFLICT');
  });

  it('with a wrong token ends with exit code 4 and a clear line', async () => {
    const wrong = { AIRLOCK_TOKEN: 'x'.repeat(43) };
    const { code, stdout, stderr } = await program.here(['push', examplePlugin, '--to', program.url], wrong);
    expect(code).toBe(4);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/token/i);
    expect(stderr).toContain('what to do:');
    expect(stderr).not.toContain('x'.repeat(43));
  });

  it('without an agent ends with exit code 3', async () => {
    const url = `ws://127.0.0.1:${await deafPort()}`;
    const { code, stderr } = await program.here(['list', '--to', url, '--json']);
    expect(code).toBe(3);
    expect(stderr).toContain('UNREACHABLE');
  });

  it('refuses secrets unless it is told to pack them', async () => {
    const folder = await version('1.3.0');
    await writeFile(join(folder, '.env'), 'PASSWORD=1\n');
    const { code, stderr } = await program.here(['push', folder, '--to', program.url]);
    expect(code).toBe(2);
    expect(stderr).toContain('.env');
  });
});

/** Stands between client and agent, and flips one bit of what the client sends, behind the upgrade. */
async function altering(target: string, at: number): Promise<{ url: string; close: () => void }> {
  const port = Number(new URL(target).port);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const agent = connect(port, '127.0.0.1');
    let seen = 0;
    client.on('data', (chunk) => {
      const bytes = Buffer.from(chunk);
      // Late enough to be in the data of a binary frame: those are the only large ones.
      if (chunk.length > 2000) {
        const index = at - seen;
        if (index >= 0 && index < bytes.length) bytes[index] = (bytes[index] ?? 0) ^ 1;
        seen += bytes.length;
      }
      agent.write(bytes);
    });
    agent.pipe(client);
    for (const socket of [client, agent]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => (socket === client ? agent : client).destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as { port: number };
  return {
    url: `ws://127.0.0.1:${own}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe('bytes that are altered on the way', () => {
  it.each([700, 1500, 3000])(
    'are refused with DIGEST_MISMATCH, and live is what it was (byte %i)',
    async (at) => {
      await program.here(['push', examplePlugin, '--to', program.url]);
      const before = await snapshotTree(join(program.root, 'house-rules'));
      const wire = await altering(program.url, at);
      try {
        const { code, stdout } = await program.here([
          'push',
          await version('6.6.6'),
          '--to',
          wire.url,
          '--json',
        ]);
        expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'DIGEST_MISMATCH', executed: 'no' } });
        expect(code).toBe(1);
      } finally {
        wire.close();
      }
      expect(await snapshotTree(join(program.root, 'house-rules'))).toEqual(before);
      expect(await readdir(join(program.root, '.staging'))).toEqual([]);
    },
  );
});

describe('airlock list and verify', () => {
  it('show the same plugins from the agent and from the disk, refused ones with reason and hint', async () => {
    const half = join(program.root, 'half-copied');
    await mkdir(half, { recursive: true });
    await writeFile(join(half, 'plugin.yaml'), 'name: half-copied\n');
    const answer = await program.here(['list', '--to', program.url, '--json']);
    const listed: unknown = JSON.parse(answer.stdout);
    expect(listed).toContainEqual(
      expect.objectContaining({ name: 'half-copied', status: 'refused', reason: 'no-marker' }),
    );
    const { stdout } = await program.here(['list', '--root', program.root, '--json']);
    expect(JSON.parse(stdout)).toEqual(listed);
  });

  it('say by name which files were edited in place, with exit code 1', async () => {
    await program.json(['push', examplePlugin]);
    const file = join(program.root, 'house-rules', 'plugin.yaml');
    const before = await readFile(file);
    await writeFile(file, Buffer.concat([before, Buffer.from('# edited\n')]));
    const fromAgent = await program.here(['verify', 'house-rules', '--to', program.url]);
    expect(fromAgent.code).toBe(1);
    expect(JSON.parse(fromAgent.stdout)).toMatchObject({
      verdict: 'drifted',
      modified: { items: ['plugin.yaml'] },
    });
    const fromDisk = await program.here(['verify', 'house-rules', '--root', program.root]);
    expect(fromDisk.code).toBe(1);
    expect(JSON.parse(fromDisk.stdout)).toMatchObject({ verdict: 'drifted' });
    await writeFile(file, before);
    expect((await program.here(['verify', 'house-rules', '--to', program.url])).code).toBe(0);
  });

  it('name a plugin that is not there', async () => {
    const { code, stderr } = await program.here(['verify', 'nobody', '--to', program.url]);
    expect(code).toBe(1);
    expect(stderr).toContain('"nobody"');
  });
});

describe('airlock pack and token', () => {
  const at = (name: string): string => join(program.folder, name);

  it('packs the same bytes twice, and what it packed can be pushed', async () => {
    // As a process, for the name is relative to its directory.
    const packed = await program.run(['pack', examplePlugin, '--out', 'one.tgz', '--json']);
    const again = await program.here(['pack', examplePlugin, '--out', at('two.tgz'), '--json']);
    const { sha256, file } = JSON.parse(packed.stdout) as { sha256: string; file: string };
    expect(JSON.parse(again.stdout)).toMatchObject({ sha256 });
    expect(await program.json(['push', file, '--force'])).toMatchObject({ bundle: `sha256:${sha256}` });
  });

  it('names a SKILL.md with a name for people, as push does', async () => {
    const folder = join(program.folder, 'Lint My Code');
    await mkdir(folder);
    await writeFile(join(folder, 'SKILL.md'), '---\nname: Lint My Code\ndescription: d\n---\n');
    const pushed = await program.json(['push', folder, '--name', 'lint']);
    expect(pushed).toMatchObject({ status: 'installed', plugin: 'lint' });
    const packed = await program.here(['pack', folder, '--name', 'lint', '--out', at('lint.tgz'), '--json']);
    const { plugin, file } = JSON.parse(packed.stdout) as { plugin: string; file: string };
    expect(plugin).toBe('lint');
    expect(await program.json(['push', file, '--name', 'lint', '--force'])).toMatchObject({
      status: 'installed',
    });
    const { code, stderr } = await program.here(['push', folder, '--to', program.url]);
    expect(code).toBeGreaterThan(0);
    expect(stderr).toContain('--name lint-my-code');
  });

  it('does not replace a file unless told to', async () => {
    const { code, stderr } = await program.here(['pack', examplePlugin, '--out', at('one.tgz')]);
    expect(code).toBe(1);
    expect(stderr).toContain('one.tgz');
    expect((await program.here(['pack', examplePlugin, '--out', at('one.tgz'), '--force'])).code).toBe(0);
  });

  it('makes tokens that an agent takes from its file, by scope and label', async () => {
    await program.here(['token', '--file', at('tokens'), '--label', 'ci server']);
    await program.here(['token', '--file', at('tokens'), '--scope', 'read']);
    expect((await stat(at('tokens'))).mode & 0o777).toBe(0o600);
    const other = await Program.open();
    try {
      const file = at('tokens');
      await other.serveHere({ AIRLOCK_TOKEN: '', AIRLOCK_TOKEN_FILE: file });
      const env = { AIRLOCK_TOKEN: '', AIRLOCK_TOKEN_FILE: file };
      const pushed = await other.here(['push', examplePlugin, '--to', other.url, '--json'], env);
      expect(JSON.parse(pushed.stdout)).toMatchObject({ by: 'ci server' });
      const read = (await readFile(file, 'utf8')).split('\n')[1]?.split(' ')[1] ?? '';
      const refused = await other.here(['push', examplePlugin, '--to', other.url, '--force'], {
        AIRLOCK_TOKEN: read,
      });
      expect(refused.code).toBe(4);
      expect(refused.stderr).toContain('FORBIDDEN');
    } finally {
      await other.close();
    }
  });
});

describe('usage', () => {
  it.each([
    [['pusch', 'x'], 'did you mean "push"'],
    [['push'], 'It takes <dir|zip|tgz>'],
    [['push', 'x', '--forc'], '--forc'],
    [['list', '--to', 'http://x'], 'must begin with ws://'],
    [['list', '--to', 'ws://127.0.0.1:1', '--root', '/tmp'], 'exclude each other'],
    [['agent', '--max-packed', 'lots'], '--max-packed'],
  ])('%j ends with exit code 2 and says why', async (words, why) => {
    const { code, stderr } = await program.here(words);
    expect(code).toBe(2);
    expect(stderr).toContain(why);
    expect(stderr).toContain('what to do:');
  });

  it('refuses to serve without a token', async () => {
    const { code, stderr } = await program.here(['agent', '--root', program.root], { AIRLOCK_TOKEN: '' });
    expect(code).toBe(2);
    expect(stderr).toContain('airlock token');
  });

  it.each(['agent', 'push', 'list', 'verify', 'restarted', 'watch', 'pack', 'token'])(
    '%s --help shows an example',
    async (name) => {
      const { code, stdout } = await program.here([name, '--help']);
      expect(code).toBe(0);
      expect(stdout).toMatch(/Examples?\n.*airlock/);
    },
  );
});

describe('the log of the agent', () => {
  it('tells every step of an install, and never a token', async () => {
    await program.json(['push', await version('3.0.0')]);
    const steps = program.log.filter(({ event }) => event === 'install.progress').map(({ step }) => step);
    for (const step of ['receive', 'stage', 'validate', 'seal', 'swap', 'verify', 'collect']) {
      expect(steps).toContain(step);
    }
    expect(JSON.stringify(program.log)).not.toContain(program.token);
  });

  it('ends with exit code 0 when the agent is told to stop', async () => {
    expect(await program.stop()).toBe(0);
    expect(program.log.at(-1)).toMatchObject({ msg: 'closed' });
  });
});
