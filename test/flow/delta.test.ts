/** Updates that send only what the agent lacks: real agents, real sockets. */
import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';

import {
  openSession,
  packDirectory,
  push,
  type Pushed,
  type PushOptions,
  reconcile,
  type Session,
} from '../../client/index.ts';
import { type TestAgent, startTestAgent, TOKEN } from '../_kit/agent.ts';
import { Cable } from '../_kit/cable.ts';
import { noise } from '../_kit/noise.ts';
import { Program } from '../_kit/program.ts';
import { zipOf } from '../_kit/zip-builder.ts';

const FILES = 24;
let plugin: string;
let source: string;
let agent: TestAgent;

const write = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(join(source, path)), { recursive: true });
  await writeFile(join(source, path), text);
};

const open = (signal?: AbortSignal): Promise<Session> =>
  openSession({ url: `ws://127.0.0.1:${agent.port}`, token: TOKEN, client: 'test', signal });

/** Pushes what is in the directory, as over a network: over the loopback so few bytes are no reason for a delta. */
async function pushNow(options: PushOptions = {}, by = open): Promise<Pushed> {
  const bundle = await packDirectory(source);
  try {
    const pushed = await push(by, bundle, { delta: true, ...options });
    expect(pushed).toMatchObject({ tree: bundle.tree, bundle: `sha256:${bundle.sha256}` });
    return { ...pushed, delta: pushed.delta };
  } finally {
    await bundle.dispose();
  }
}

async function verdict(): Promise<string> {
  const session = await open();
  try {
    return (await session.call('plugin.verify', { plugin })).verdict;
  } finally {
    await session.close();
  }
}

let folder: string;
let end = async (): Promise<void> => undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'airlock-delta-test-'));
  agent = await startTestAgent({
    root: join(folder, 'plugins'),
    env: { AIRLOCK_DURABILITY: 'none' },
    whenDone: (close) => {
      end = close;
    },
  });
});
afterAll(async () => {
  await end();
  await rm(folder, { recursive: true, force: true });
});

let plugins = 0;
beforeEach(async () => {
  plugins += 1;
  plugin = `lint-${plugins}`;
  source = join(folder, 'sources', plugin);
  await write('plugin.yaml', `name: ${plugin}\nversion: 1.0.0\n`);
  await write('SKILL.md', '---\nname: x\ndescription: first\n---\n');
  for (let i = 0; i < FILES; i += 1) await write(`data/d${i % 7}/f${i}.bin`, noise(i, 8000));
  await pushNow();
});

describe('a push of a version that differs little', () => {
  it('sends only the file that was edited, and the list of what the agent has', async () => {
    await write('SKILL.md', '---\nname: x\ndescription: second\n---\n');
    const { delta, status } = await pushNow();
    expect(status).toBe('installed');
    expect(delta?.files).toBe(1);
    expect(delta?.bytes).toBeLessThan((delta?.of ?? 0) / 20);
    expect(await verdict()).toBe('intact');
    expect(await readFile(join(agent.layout.live(plugin), 'SKILL.md'), 'utf8')).toContain('second');
  });

  it('adds, removes, moves and changes the modes of files, and keeps empty directories', async () => {
    await write('new/added.txt', 'added');
    await mkdir(join(source, 'empty/deep'), { recursive: true });
    await rm(join(source, 'data/d1/f1.bin'));
    await rename(join(source, 'data/d2'), join(source, 'data/renamed'));
    await chmod(join(source, 'data/d3/f3.bin'), 0o755);
    const { delta } = await pushNow();
    // An added file is all that is sent: what was moved is on the disk of the agent.
    expect(delta?.files).toBe(1);
    expect(await verdict()).toBe('intact');
    const live = agent.layout.live(plugin);
    await expect(readFile(join(live, 'data/d1/f1.bin'))).rejects.toThrow('ENOENT');
    await expect(readFile(join(live, 'data/d2/f2.bin'))).rejects.toThrow('ENOENT');
    await chmod(join(live, 'empty/deep'), 0o755);
  });

  it('takes from a snapshot what the live version does not have', async () => {
    const text = noise(1000, 50_000);
    await write('big.bin', text);
    await pushNow();
    await rm(join(source, 'big.bin'));
    await pushNow();
    await write('again.bin', text);
    const { delta } = await pushNow();
    expect(delta?.files).toBe(0);
    expect(await verdict()).toBe('intact');
  });

  it('sends nothing for a tree that is live', async () => {
    expect(await pushNow()).toMatchObject({ status: 'present', delta: undefined });
  });

  it('sends only what is missing of a zip too, and leaves nothing of it behind', async () => {
    await write('SKILL.md', '---\nname: x\ndescription: second\n---\n');
    const names = (await readdir(source, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(source, join(entry.parentPath, entry.name)));
    const parts = names.map(async (name) => ({ name, body: await readFile(join(source, name), 'utf8') }));
    const zip = join(folder, `${plugin}.zip`);
    await writeFile(zip, zipOf(await Promise.all(parts)));
    vi.stubEnv('TMPDIR', await mkdtemp(join(folder, 'temporary-')));
    onTestFinished(() => void vi.unstubAllEnvs());
    const bundle = await packDirectory(zip);
    expect((await push(open, bundle, { delta: true })).delta?.files).toBe(1);
    await bundle.dispose();
    expect(await readdir(tmpdir())).toEqual([]);
    expect(await verdict()).toBe('intact');
  });

  it('does not touch the version that it takes files from', async () => {
    await write('SKILL.md', 'x');
    const { installId } = await pushNow();
    const live = join(agent.layout.live(plugin), 'data/d0/f0.bin');
    await writeFile(live, 'edited in place');
    expect(await readFile(join(agent.layout.snapshot(plugin, installId), 'data/d0/f0.bin'), 'utf8')).toBe(
      noise(0, 8000),
    );
  });
});

describe('the whole bundle is sent', () => {
  it('if a file to take was edited in place with another size', async () => {
    await writeFile(join(agent.layout.live(plugin), 'data/d0/f0.bin'), 'edited');
    await write('SKILL.md', 'x');
    expect(await pushNow()).toMatchObject({ status: 'installed', delta: undefined });
    expect(await verdict()).toBe('intact');
  });

  it('if a file to take was edited in place with the same size', async () => {
    await writeFile(join(agent.layout.live(plugin), 'data/d0/f0.bin'), noise(77, 8000));
    await write('SKILL.md', 'x');
    expect(await pushNow()).toMatchObject({ status: 'installed', delta: undefined });
    expect(await verdict()).toBe('intact');
  });

  it('if a file to take is gone', async () => {
    await rm(join(agent.layout.live(plugin), 'data/d0/f0.bin'));
    await write('SKILL.md', 'x');
    expect(await pushNow()).toMatchObject({ status: 'installed', delta: undefined });
  });

  it('if the caller wants it so, or forces the install', async () => {
    await write('SKILL.md', 'x');
    expect((await pushNow({ delta: false })).delta).toBeUndefined();
    await write('SKILL.md', 'y');
    expect((await pushNow({ force: true })).delta).toBeUndefined();
  });

  it('if much of it is new', async () => {
    for (let i = 0; i < FILES / 2; i += 1) await write(`data/d${i % 7}/f${i}.bin`, noise(i + 500, 8000));
    expect((await pushNow()).delta).toBeUndefined();
  });

  it('over the loopback if it has less than 1 MiB', async () => {
    await write('SKILL.md', 'x');
    expect((await pushNow({ delta: undefined })).delta).toBeUndefined();
    await write('big.bin', noise(3000, 1_600_000));
    await pushNow();
    await write('SKILL.md', 'y');
    expect((await pushNow({ delta: undefined })).delta?.files).toBe(1);
  });

  it('to an agent that knows no deltas', async () => {
    await write('SKILL.md', 'x');
    const asked: string[] = [];
    const old = async (signal?: AbortSignal): Promise<Session> => {
      const session = await open(signal);
      session.hello.capabilities = session.hello.capabilities.filter((name) => name !== 'delta');
      const { call } = session;
      session.call = (method, params, options) => {
        asked.push(method);
        return call.call(session, method, params, options) as never;
      };
      return session;
    };
    expect((await pushNow({}, old)).delta).toBeUndefined();
    expect(asked).toEqual(['install.begin', 'install.commit']);
  });

  it('if the source was changed after it was packed', async () => {
    await write('SKILL.md', 'x');
    const bundle = await packDirectory(source);
    await write('SKILL.md', 'y');
    const pushed = await push(open, bundle, { delta: true });
    await bundle.dispose();
    expect(pushed).toMatchObject({ status: 'installed', tree: bundle.tree });
    expect(pushed.delta).toBeUndefined();
  });
});

it('a push whose connection is cut in the middle goes on as a delta', async () => {
  // Enough that it cannot be sent in one frame.
  await write('new.bin', noise(2000, 50_000));
  const cable = await Cable.lay(agent.port, { cuts: [{ way: 'up', bytes: 25_000, how: 'reset' }] });
  try {
    const pushed = await pushNow({}, (signal) =>
      openSession({ url: cable.url, token: TOKEN, client: 'test', signal }),
    );
    expect(pushed.delta?.files).toBe(1);
    expect(cable.passages).toMatchObject([{ ended: 'cut' }, {}]);
    expect(await verdict()).toBe('intact');
  } finally {
    cable.close();
  }
});

it('the same operation gets the same answer, also if it was sent in another way', async () => {
  await write('SKILL.md', 'x');
  const operationId = 'operation-of-a-delta';
  const first = await pushNow({ operationId });
  expect(first.delta).toBeDefined();
  const again = await pushNow({ operationId, delta: false });
  expect(again.installId).toBe(first.installId);
});

it('a reconcile that declares only the bundle delivers it once after a delta', async () => {
  await write('SKILL.md', 'x');
  expect((await pushNow()).delta).toBeDefined();
  const bundle = await packDirectory(source);
  const declared = [{ name: plugin, bundle: `sha256:${bundle.sha256}` }];
  const run = async (): Promise<unknown[]> => {
    const { plugins: rows } = await reconcile(open, declared, { bundles: new Map([[plugin, bundle]]) });
    return rows.filter(({ name }) => name === plugin).map(({ state, fate }) => [state, fate]);
  };
  expect(await run()).toEqual([['stale', 'installed']]);
  expect(await run()).toEqual([['present', undefined]]);
  await bundle.dispose();
});

it('`airlock push` says what it has sent, and --full sends everything', async () => {
  const program = await Program.open();
  try {
    await program.serveHere();
    const run = async (...more: string[]): Promise<Record<string, unknown>> => {
      const { stdout, code } = await program.here(['push', source, '--to', program.url, ...more]);
      expect(code).toBe(0);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    await write('big.bin', noise(3000, 1_600_000));
    expect(await run()).not.toHaveProperty('delta');
    await write('SKILL.md', 'x');
    expect(await run()).toMatchObject({ status: 'installed', delta: { files: 1 } });
    await write('SKILL.md', 'y');
    expect(await run('--full')).not.toHaveProperty('delta');
  } finally {
    await program.close();
  }
});
