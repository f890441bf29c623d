/** `airlock lock`, `airlock push --lock` and `airlock reconcile`, through an agent and on a root. */
import { appendFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { startTestAgent } from '../_kit/agent.ts';
import { type Packed, bundleIn, lineOf } from '../_kit/bundles.ts';
import { type Ended, Program } from '../_kit/program.ts';
import { inProcess } from '../_kit/two-ways.ts';
import { writeLockFile } from '../../shared/format/lock-file.ts';

vi.setConfig({ testTimeout: 60_000 });

type Scene = {
  program: Program;
  bundles: string;
  lock: string;
  packed: Packed[];
  run: (...words: string[]) => Promise<Ended>;
};

/** An agent, and the bundles of three plugins. */
async function scene(): Promise<Scene> {
  const program = await Program.open();
  onTestFinished(() => program.close());
  const agent = await startTestAgent({ root: program.root, token: program.token });
  program.url = `ws://${agent.host}:${agent.port}`;
  const bundles = join(program.folder, 'bundles');
  const packed = await Promise.all(['c', 'a', 'b'].map((name) => bundleIn(bundles, name)));
  const lock = join(program.folder, 'airlock.lock');
  return { program, bundles, lock, packed, run: (...words) => program.here(words) };
}

type Document = Record<string, unknown> & { plugins: { name: string; state: string; fate?: string }[] };
const said = ({ stdout }: Ended): Document => JSON.parse(stdout) as Document;
const fates = (ended: Ended): string[] =>
  said(ended).plugins.map(
    ({ name, state, fate }) => `${name} ${state}${fate === undefined ? '' : ` ${fate}`}`,
  );

describe('a lock file', () => {
  it('is the same from pushes in any order, from an agent and from another root that was made by it', async () => {
    const { program, bundles, lock, packed, run } = await scene();
    for (const { file } of packed) {
      expect((await run('push', file, '--lock', lock, '--to', program.url)).code).toBe(0);
    }
    const text = await readFile(lock, 'utf8');
    expect(text).toBe(writeLockFile(packed.map(lineOf)));
    const again = await run('push', packed[0]?.file ?? '', '--lock', lock, '--to', program.url);
    expect([again.code, await readFile(lock, 'utf8')]).toEqual([0, text]);

    const other = join(program.folder, 'other.lock');
    const locked = await run('lock', '--from', program.url, other);
    expect([locked.code, said(locked), await readFile(other, 'utf8')]).toEqual([
      0,
      { file: other, plugins: 3, changed: true, leftOut: [] },
      text,
    ]);
    const root = join(program.folder, 'elsewhere');
    await mkdir(root);
    const checked = await run('reconcile', '--lock', lock, '--check', '--root', root);
    expect([checked.code, said(checked)['missing'], await readdir(root)]).toEqual([1, 3, []]);
    const made = await run('reconcile', '--lock', lock, '--bundles', bundles, '--root', root);
    expect([made.code, fates(made)]).toEqual([0, ['a', 'b', 'c'].map((name) => `${name} missing installed`)]);
    const twice = await run('reconcile', '--lock', lock, '--root', root);
    expect([twice.code, fates(twice)]).toEqual([0, ['a present', 'b present', 'c present']]);
    const from = await run('lock', '--from', root, other);
    expect([from.code, said(from)['changed'], await readFile(other, 'utf8')]).toEqual([0, false, text]);
    expect(await readdir(program.folder)).not.toContain('other.lock.new');
  });

  it('holds all plugins of a push of several, and what cannot be declared is named and left out', async () => {
    const { program, lock, run } = await scene();
    for (const name of ['x', 'y']) {
      await mkdir(join(program.folder, 'tools', name), { recursive: true });
      await writeFile(join(program.folder, 'tools', name, 'plugin.yaml'), `name: ${name}\nversion: 1.0.0\n`);
    }
    const all = await run(
      'push',
      '--all',
      join(program.folder, 'tools'),
      '--lock',
      lock,
      '--to',
      program.url,
    );
    expect(all.code).toBe(0);
    const text = await readFile(lock, 'utf8');
    expect(text.match(/"name":"\w"/g)).toEqual(['"name":"x"', '"name":"y"']);
    await mkdir(join(program.root, 'by-hand'));
    const locked = await run('lock', '--from', program.root, lock);
    expect([locked.code, said(locked)['leftOut'], await readFile(lock, 'utf8')]).toEqual([
      1,
      ['by-hand'],
      text,
    ]);
    expect(locked.stderr).toContain('by-hand is left out: ');
  });

  it('that cannot be read stops a push before it begins, and one that cannot be written is said after it', async () => {
    const { program, lock, packed, run } = await scene();
    await writeFile(lock, '{"version":1,"plugins":[{"name":"a"}]}');
    const [{ file } = { file: '' }] = packed;
    const refused = await run('push', file, '--lock', lock, '--to', program.url);
    expect([refused.code, refused.stderr, await readdir(program.root)]).toEqual([
      2,
      expect.stringContaining('plugins.0: must have a "tree" or a "bundle"'),
      expect.not.arrayContaining(['c']),
    ]);
    const nowhere = join(program.folder, 'nothing', 'airlock.lock');
    const unwritten = await run('push', file, '--lock', nowhere, '--to', program.url);
    expect([unwritten.code, said(unwritten)['status'], unwritten.stderr]).toEqual([
      1,
      'installed',
      expect.stringContaining('The lock file cannot be written'),
    ]);
  });
});

describe('airlock reconcile', () => {
  it('says with --check what differs, and changes nothing', async () => {
    const { program, bundles, lock, packed, run } = await scene();
    const target = ['--to', program.url];
    await writeFile(lock, writeLockFile(packed.map(lineOf)));
    const check = (): Promise<Ended> => run('reconcile', '--lock', lock, '--check', ...target);
    const names = await readdir(program.root);
    const first = await check();
    expect([first.code, fates(first)]).toEqual([1, ['a missing', 'b missing', 'c missing']]);
    expect(await readdir(program.root)).toEqual(names);
    expect((await run('reconcile', '--lock', lock, '--bundles', bundles, ...target)).code).toBe(0);
    expect((await check()).code).toBe(0);
    await appendFile(join(program.root, 'a', 'rules', 'a.md'), 'edited');
    const drifted = await check();
    expect([drifted.code, fates(drifted)]).toEqual([1, ['a drifted', 'b present', 'c present']]);
    // Without --repair it is not as declared afterwards either.
    expect((await run('reconcile', '--lock', lock, '--bundles', bundles, ...target)).code).toBe(1);
    const repaired = await run('reconcile', '--lock', lock, '--bundles', bundles, '--repair', ...target);
    expect([repaired.code, fates(repaired)]).toEqual([0, ['a drifted installed', 'b present', 'c present']]);
    await writeFile(lock, writeLockFile(packed.slice(1).map(lineOf)));
    const unmanaged = await check();
    expect([unmanaged.code, fates(unmanaged)]).toEqual([1, ['a present', 'b present', 'c unmanaged']]);
    // It makes nothing go.
    expect((await run('reconcile', '--lock', lock, ...target)).code).toBe(0);
  });

  it('says it line by line on a terminal', async () => {
    const { program, bundles, lock, packed } = await scene();
    await writeFile(
      lock,
      writeLockFile([...packed.map(lineOf), { name: 'd', bundle: `sha256:${'d'.repeat(64)}` }]),
    );
    const env = { AIRLOCK_TOKEN: program.token };
    const run = (...words: string[]): ReturnType<typeof inProcess> =>
      inProcess(['reconcile', '--lock', lock, '--to', program.url, ...words], env);
    const checked = await run('--check');
    expect([checked.code, checked.stdout]).toEqual([
      1,
      `${['a', 'b', 'c', 'd'].map((name) => `missing    ${name}: to deliver`).join('\n')}\n4 plugins: 4 missing\n`,
    ]);
    const { code, stdout } = await run('--bundles', bundles, '--no-restart');
    const lines = stdout.trimEnd().split('\n').toSorted();
    expect([code, lines]).toEqual([
      1,
      [
        '4 plugins: 3 installed, 1 failed',
        `failed     d: There is no bundle of "d" in "${bundles}" (NOT_FOUND)`,
        ...['a', 'b', 'c'].map(
          (name) => `installed  ${name}: was missing; needs a restart, which was suppressed`,
        ),
      ],
    ]);
  });

  it('says what is wrong with what it was given', async () => {
    const { program, bundles, lock, run } = await scene();
    const without = await run('reconcile', '--to', program.url);
    expect([without.code, without.stderr]).toEqual([2, expect.stringContaining('Add --lock airlock.lock')]);
    const none = await run('reconcile', '--lock', lock, '--to', program.url);
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('does not exist')]);
    await writeFile(lock, writeLockFile([]));
    const nowhere = await run(
      'reconcile',
      '--lock',
      lock,
      '--check',
      '--root',
      join(program.folder, 'nothing'),
    );
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining('The root')]);
    const both = await run(
      'reconcile',
      '--lock',
      lock,
      '--bundles',
      bundles,
      '--to',
      program.url,
      '--root',
      '/',
    );
    expect(both.code).toBe(2);
  });
});
