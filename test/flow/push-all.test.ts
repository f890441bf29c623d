import { once } from 'node:events';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { openSession, pushAll } from '../../client/index.ts';
import { Fault } from '../../shared/api/fault.ts';
import { deafPort } from '../_kit/deaf-port.ts';
import { Program, runHere } from '../_kit/program.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';

let program: Program;
let market: string;

beforeAll(async () => {
  program = await Program.open();
  await program.serveHere();
  market = join(program.folder, 'market');
});
afterEach(() => rm(market, { recursive: true, force: true }));
afterAll(() => program.close());

const LIST = '.claude-plugin/marketplace.json';
const skill = (name: string): string => `---\nname: ${name}\ndescription: d\n---\n`;

async function files(contents: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(contents)) {
    await mkdir(dirname(join(market, path)), { recursive: true });
    await writeFile(join(market, path), text);
  }
}

const list = (plugins: readonly object[]): Record<string, string> => ({
  [LIST]: JSON.stringify({ name: 'tools', owner: { name: 'x' }, plugins }),
});

type Row = { plugin: string; status: string; error?: { code: string; executed: string } };
type Document = { plugins: Row[]; installed: number; refused: number; error?: { code: string } };

const documentOf = (stdout: string): Document => JSON.parse(stdout) as Document;
const fates = ({ plugins }: Document): string[] => plugins.map(({ plugin, status }) => `${plugin} ${status}`);

describe('airlock push --all', () => {
  it('installs each plugin of a marketplace, and a bad one does not stop the others', async () => {
    await files({
      ...list([
        { name: 'one', source: './plugins/one' },
        { name: 'bad', source: './plugins/bad' },
        { name: 'far', source: { source: 'url', url: 'https://example.com/far.git' } },
        { name: 'secret', source: './plugins/secret' },
        { name: 'server', source: './plugins/server', strict: false, lspServers: { s: { command: 's' } } },
      ]),
      'plugins/one/plugin.yaml': 'name: one\nversion: 1.0.0\n',
      'plugins/bad/plugin.yaml': 'name: [\n',
      'plugins/secret/plugin.yaml': 'name: secret\n',
      'plugins/secret/.env': 'A=1\n',
      'plugins/server/README.md': '',
    });
    const before = await snapshotTree(market);
    const first = await program.here(['push', '--all', market, '--to', program.url]);
    expect(first.code).toBe(1);
    const document = documentOf(first.stdout);
    expect(document).toMatchObject({ installed: 2, present: 0, refused: 3, cancelled: 0, untried: 0 });
    expect(document.plugins).toMatchObject([
      { plugin: 'one', place: 'plugins/one', status: 'installed', pluginVersion: '1.0.0' },
      { plugin: 'bad', status: 'refused', error: { code: 'MANIFEST_INVALID' } },
      { plugin: 'far', status: 'refused', error: { code: 'NOT_FOUND' } },
      { plugin: 'secret', status: 'refused', error: { code: 'INVALID_PARAMS' } },
      { plugin: 'server', status: 'installed', manifestFrom: join(market, LIST) },
    ]);
    expect(first.stderr).toMatch(/^refused {4}far: Its source is .* \(NOT_FOUND\)$/m);
    expect(first.stderr).toMatch(/^server: The plugin has no manifest of its own/m);
    const made = await readFile(join(program.root, 'server/.claude-plugin/plugin.json'), 'utf8');
    expect(JSON.parse(made)).toEqual({ name: 'server', lspServers: { s: { command: 's' } } });
    expect(await snapshotTree(market)).toEqual(before);

    const again = await program.here([
      'push',
      '--all',
      market,
      '--allow-secret',
      '.env',
      '--to',
      program.url,
    ]);
    expect(fates(documentOf(again.stdout))).toEqual([
      'one present',
      'bad refused',
      'far refused',
      'secret installed',
      'server present',
    ]);
  });

  it('installs the skills of a shared directory as the plugins that list them', async () => {
    await files({
      ...list([
        { name: 'documents', source: './', strict: false, skills: ['./skills/pdf', './skills/doc'] },
        { name: 'pictures', source: './', strict: false, skills: ['./skills/gif'] },
      ]),
      'skills/pdf/SKILL.md': skill('pdf'),
      'skills/doc/SKILL.md': skill('doc'),
      'skills/gif/SKILL.md': skill('gif'),
    });
    const { code, stdout } = await program.here(['push', '--all', market, '--to', program.url]);
    expect([code, fates(documentOf(stdout))]).toEqual([0, ['documents installed', 'pictures installed']]);
    expect(await readdir(join(program.root, 'documents/skills'))).toEqual(['doc', 'pdf']);
    expect(await readdir(join(program.root, 'pictures/skills'))).toEqual(['gif']);
  });

  it('installs the plugins and skills of a plain directory, and says it line by line', async () => {
    await files({
      'tools/format/plugin.yaml': 'name: format\nversion: 2.0.0\n',
      'skills/summarise/SKILL.md': skill('summarise'),
      'skills/Weekly/SKILL.md': skill('Weekly Report'),
    });
    const env = { AIRLOCK_TOKEN: program.token, NO_COLOR: '1' };
    const { code, stdout } = await runHere(['push', '--all', market, '--to', program.url], env, {
      isTTY: true,
    });
    expect(code).toBe(1);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(
        /^refused {4}skills\/Weekly: SKILL.md names the plugin "Weekly Report".*\(MANIFEST_/,
      ),
      expect.stringMatching(/^installed {2}summarise 0\.0\.0 \(1 file, .*needs a restart\)$/),
      expect.stringMatching(/^installed {2}format 2\.0\.0 \(1 file, /),
      '2 installed, 0 present, 1 refused',
    ]);
  });

  it('says what is doubtful before a plugin is sent, once, and where to see the rest', async () => {
    const doubtful = Object.fromEntries(
      Array.from({ length: 21 }, (_, i) => [`b/skills/s${i}/SKILL.md`, `---\nname: s${i}\n---\n`]),
    );
    await files({
      'a/plugin.yaml': 'name: w1\n',
      'a/skills/x/SKILL.md': skill('y'),
      'b/plugin.yaml': 'name: w2\n',
      ...doubtful,
    });
    const said = (stderr: string): string[] =>
      stderr.split('\n').filter((line) => line.includes('warning: '));
    const { code, stderr } = await program.here(['push', '--all', market, '--to', program.url]);
    expect([code, said(stderr).length]).toEqual([0, 22]);
    expect(said(stderr)).toEqual([
      expect.stringMatching(/^w1: warning: skills\/x\/SKILL\.md:2: its name is "y"/),
      ...Array.from({ length: 20 }, () => expect.stringMatching(/^w2: warning: skills\/s\d+\/SKILL\.md: /)),
      `w2: warning: and 1 more: see airlock validate ${join(market, 'b')}`,
    ]);
    // Nobody listens there, and the first plugin is never sent.
    const url = `ws://127.0.0.1:${await deafPort()}`;
    const packed: string[] = [];
    const { stopped } = await pushAll((signal) => openSession({ url, client: 'test', signal }), market, {
      tries: 0,
      onPacked: ({ name }, { findings }) => packed.push(`${name} ${findings.length}`),
    });
    expect([packed, stopped?.code]).toEqual([['w1 1'], 'UNREACHABLE']);
  });

  it('uses one connection for all', async () => {
    await files({
      'a/plugin.yaml': 'name: aa\n',
      'b/plugin.yaml': 'name: bb\n',
      'c/plugin.yaml': 'name: cc\n',
    });
    let opened = 0;
    const { plugins, stopped } = await pushAll(
      (signal) => {
        opened += 1;
        return openSession({ url: program.url, token: program.token, client: 'test', signal });
      },
      market,
      { restart: false },
    );
    expect(plugins.map(({ status }) => status)).toEqual(['installed', 'installed', 'installed']);
    expect([opened, stopped]).toEqual([1, undefined]);
  });

  it('stops when it is interrupted, and says what is done and what is not', async () => {
    await files({
      'a/plugin.yaml': 'name: x1\n',
      'b/plugin.yaml': 'name: x2\n',
      'c/plugin.yaml': 'name: x3\n',
    });
    const interrupted = new AbortController();
    const { plugins, stopped } = await pushAll(
      (signal) => openSession({ url: program.url, token: program.token, client: 'test', signal }),
      market,
      {
        signal: interrupted.signal,
        onPlugin: ({ status }) => status === 'installed' && interrupted.abort(),
      },
    );
    expect(plugins.map(({ plugin, status }) => `${plugin} ${status}`)).toEqual([
      'x1 installed',
      'x2 untried',
      'x3 untried',
    ]);
    expect(stopped?.code).toBe('CANCELLED');
  });

  it('ends with 130 on Ctrl-C, with one JSON document', async () => {
    await files({ 'a/plugin.yaml': 'name: y1\n', 'b/plugin.yaml': 'name: y2\n' });
    // Accepts the connection and never answers.
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const child = program.start(['push', '--all', market, '--to', `ws://127.0.0.1:${port}`, '--json']);
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    const closed = once(child, 'close');
    const [socket] = (await once(server, 'connection')) as [{ destroy: () => void }];
    child.kill('SIGINT');
    const [code] = (await closed) as [number | null];
    socket.destroy();
    server.close();
    expect(code).toBe(130);
    expect(documentOf(stdout)).toMatchObject({
      plugins: [
        { plugin: 'y1', status: 'cancelled', error: { code: 'CANCELLED' } },
        { plugin: 'y2', status: 'untried' },
      ],
      error: { code: 'CANCELLED' },
    });
  });

  it('tries no other plugin with a token that is refused', async () => {
    await files({ 'a/plugin.yaml': 'name: z1\n', 'b/plugin.yaml': 'name: z2\n' });
    const wrong = { AIRLOCK_TOKEN: 'x'.repeat(43) };
    const { code, stdout, stderr } = await program.here(
      ['push', '--all', market, '--to', program.url],
      wrong,
    );
    expect(code).toBe(4);
    expect(fates(documentOf(stdout))).toEqual(['z1 refused', 'z2 untried']);
    expect(stderr).toContain('what to do:');
  });

  it.each(['DRAINING', 'FORBIDDEN', 'RUNTIME_EXTERNAL', 'UNAUTHENTICATED', 'UNREACHABLE'] as const)(
    'tries no other plugin after %s',
    async (code) => {
      await files({ 'a/plugin.yaml': 'name: z1\n', 'b/plugin.yaml': 'name: z2\n' });
      const refuse = () => Promise.reject(new Fault(code, 'No', { retry: 'never' }));
      const { plugins, stopped } = await pushAll(refuse, market);
      expect([plugins.map(({ status }) => status), stopped?.code]).toEqual([['refused', 'untried'], code]);
    },
  );

  it('tries no other plugin where the agent cannot be reached', async () => {
    await files({ 'a/plugin.yaml': 'name: z1\n', 'b/plugin.yaml': 'name: z2\n' });
    const url = `ws://127.0.0.1:${await deafPort()}`;
    const { plugins, stopped } = await pushAll(
      (signal) => openSession({ url, token: program.token, client: 'test', signal }),
      market,
      { tries: 1, sleep: async () => undefined },
    );
    expect(plugins.map(({ status }) => status)).toEqual(['refused', 'untried']);
    expect(stopped?.code).toBe('UNREACHABLE');
  });

  it.each([
    [['--name', 'x'], '--name is about one plugin'],
    [['--operation', 'operation-1'], '--operation is about one plugin'],
    [['--pin', `sha256:${'0'.repeat(64)}`], '--pin is about one plugin'],
    [['--expect', '20260508T141530123Z-9f86d081'], '--expect is about one plugin'],
  ])('does not go with %j', async (more, why) => {
    await files({ 'a/plugin.yaml': 'name: a\n' });
    const { code, stderr } = await program.here(['push', '--all', market, '--to', program.url, ...more]);
    expect(code).toBe(2);
    expect(stderr).toContain(why);
  });

  it('names the list that cannot be read, and where', async () => {
    await files({ [LIST]: '{"plugins": [\n  {"name": "a"\n]}' });
    const { code, stderr } = await program.here(['push', '--all', market, '--to', program.url]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/marketplace\.json" cannot be read: it is no JSON: .* at line 3, column 1/);
  });
});

describe('airlock push', () => {
  it('answers the root of a marketplace with its plugins and how to push all', async () => {
    await files(list([{ name: 'one', source: './one' }]));
    const { code, stderr } = await program.here(['push', market, '--to', program.url]);
    expect(code).toBe(1);
    expect(stderr).toContain('a marketplace that lists 1: "one"');
    expect(stderr).toContain('airlock push --all');
  });

  it('finds the entry of a plugin without a manifest, and says so', async () => {
    await files({ ...list([{ name: 'server2', source: './p', version: '3.1.0' }]), 'p/README.md': '' });
    const { stdout, stderr } = await program.here(['push', join(market, 'p'), '--to', program.url]);
    expect(JSON.parse(stdout)).toMatchObject({ plugin: 'server2', pluginVersion: '3.1.0' });
    expect(stderr).toContain(`what "${join(market, LIST)}" says of it`);
  });

  it('tells the place of a manifest that the agent does not take', async () => {
    await files({ 'p/a/b/c/plugin.yaml': 'name: deep\n', 'p/a/b/c/x.md': '' });
    await program.here(['pack', join(market, 'p/a/b/c'), '--out', join(market, 'x.tgz')]);
    const { code, stderr } = await program.here(['push', join(market, 'p'), '--to', program.url]);
    expect(code).toBe(1);
    expect(stderr).toContain('it is at "a/b/c/plugin.yaml"');
  });
});
