/** `airlock doctor --root`: a good root and bad ones, made of real parts. */
import { createServer } from 'node:http';
import { once } from 'node:events';
import { chmod, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { Layout } from '../../shared/format/layout.ts';
import { layoutOf } from '../../shared/format/layout.ts';
import { scratch } from '../_kit/agent.ts';
import { canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { type Examined, SOME_TOKEN, examineRoot, readDiagnosis } from '../_kit/doctor.ts';
import { install, makeRoot, writeFiles, writeIntent, yamlOf } from '../_kit/loader-root.ts';
import { snapshotTree } from '../_kit/tree-snapshot.ts';
import { inProcess, makeScene } from '../_kit/two-ways.ts';

const NOTHING_BAD: string[] = [];

/** A root on which an agent has worked. */
async function goodRoot(): Promise<Layout> {
  const { program } = await makeScene('on the root');
  return layoutOf(program.root);
}

const foundBy = ({ of }: Examined, check: Parameters<Examined['of']>[0]): string =>
  of(check)
    .filter(({ level }) => level !== 'ok')
    .map(({ found, fix }) => `${found} -> ${fix ?? ''}`)
    .join('\n');

describe('airlock doctor on a good root', () => {
  it('finds nothing bad, ends with 0, and leaves the root byte for byte as it was', async () => {
    const { program } = await makeScene('on the root');
    const { root } = program;
    const before = await snapshotTree(root);
    // As a process, which finds koffi where there is one.
    const ended = await program.run(['doctor', '--root', root, '--listen', '127.0.0.1:0']);
    const examined = readDiagnosis(ended.stdout, ended.code);
    expect(examined.bad).toEqual(NOTHING_BAD);
    expect(examined.of('plugins')).toEqual([
      { check: 'plugins', level: 'ok', found: 'The gate admits 1 of 1 plugins' },
    ]);
    expect(examined.of('writable')).toMatchObject([{ level: 'ok' }]);
    expect(await snapshotTree(root)).toEqual(before);
  });

  it('makes nothing in a root on which nobody has worked yet', async () => {
    const root = await scratch();
    expect((await examineRoot(root)).bad).toEqual(NOTHING_BAD);
    expect(await readdir(root)).toEqual([]);
  });

  it('shows the settings and where they come from, and no secret', async () => {
    const { root } = await makeRoot();
    const { diagnosis } = await examineRoot(root, {
      AIRLOCK_KEEP: '3',
      AIRLOCK_RESTART_COMMAND: 'restart --password hunter2',
    });
    const of = (name: string): unknown => diagnosis.settings.find(({ env }) => env === name);
    expect(of('AIRLOCK_KEEP')).toEqual({
      flag: '--keep',
      env: 'AIRLOCK_KEEP',
      value: '3',
      from: 'variable',
    });
    expect(of('AIRLOCK_ROOT')).toMatchObject({ value: root, from: 'flag' });
    expect(of('AIRLOCK_KEEP_DAYS')).toMatchObject({ value: '7', from: 'default' });
    expect(of('AIRLOCK_TOKEN')).toMatchObject({ value: '(set, and not shown)', from: 'variable' });
    expect(JSON.stringify(diagnosis)).not.toMatch(new RegExp(`hunter2|${SOME_TOKEN}`));
  });

  it('shows a table on a terminal, the fix below each finding, and last whether somebody has to act', async () => {
    const { root } = await makeRoot();
    const env = { AIRLOCK_TOKEN: SOME_TOKEN, AIRLOCK_LISTEN: '127.0.0.1:0' };
    const good = await inProcess(['doctor', '--root', root], env);
    expect(good.code).toBe(0);
    expect(good.text).toMatch(/\nAIRLOCK_KEEP +1 +default\n/);
    expect(good.text).toMatch(/\nok +root +".*" is a directory on \S+\n/);
    expect(good.text).toMatch(
      /\n(?:Nobody has to|Nothing is broken, and somebody should) act: 0 errors, \d warnings, \d+ notes\n$/,
    );
    await writeFile(join(root, '.state', 'lint.json'), '\u001B[2J{');
    const bad = await inProcess(['doctor', '--root', root], env);
    expect(bad.code).toBe(1);
    expect(bad.text).toMatch(
      /\nerror +troubles +The state of "lint" cannot be read\n +why: .*\n +what to do: Look at ".*lint\.json" and correct or remove it\n/,
    );
    expect(bad.text).toMatch(/\nSomebody has to act: 1 error, \d warnings, \d+ notes\n$/);
    expect(bad.text).not.toContain('\u001B');
  });
});

describe('airlock doctor on a bad root', () => {
  it('says that there is none, and makes none', async () => {
    const folder = await scratch();
    const examined = await examineRoot(join(folder, 'root'));
    expect(examined.bad).toEqual(['error root']);
    expect(foundBy(examined, 'root')).toMatch(/root" is not there -> Mount the volume .*AIRLOCK_ROOT/);
    expect(await readdir(folder)).toEqual([]);
  });

  it('tells a file, a link to nothing, and a link to a root from each other', async () => {
    const folder = await scratch();
    const at = (name: string): string => join(folder, name);
    await writeFile(at('file'), '');
    await symlink('nowhere', at('dangling'));
    await symlink('root', at('link'));
    await mkdir(at('root'));
    expect(foundBy(await examineRoot(at('file')), 'root')).toMatch(/file" is not a directory -> Mount/);
    expect(foundBy(await examineRoot(at('dangling')), 'root')).toMatch(/is a link that leads to nothing -> /);
    const link = await examineRoot(at('link'));
    expect([link.code, foundBy(link, 'root')]).toEqual([
      0,
      expect.stringMatching(/link" is a link to ".*root", on \S+ -> Name the directory itself/),
    ]);
  });

  it('names what nobody knows in staging, and removes none of it', async () => {
    const { root, staging } = await goodRoot();
    await writeFiles(staging, { 'my notes.txt': 'x', 'lint/half': 'x' });
    const examined = await examineRoot(root);
    expect(examined.bad).toEqual(['warning leftovers']);
    expect(foundBy(examined, 'leftovers')).toMatch(
      /Nobody knows ".*\/lint", ".*\/my notes\.txt" -> Look at them/,
    );
    expect((await readdir(staging)).toSorted()).toEqual(['lint', 'my notes.txt']);
  });

  it('names what a crash has left, and what finishes it', async () => {
    const layout = await goodRoot();
    await writeIntent(layout, 'lint');
    const examined = await examineRoot(layout.root);
    expect(examined.bad).toEqual(['warning leftovers']);
    expect(foundBy(examined, 'leftovers')).toMatch(/Interrupted changes of "lint" -> airlock recover/);
  });

  it('names a state that is no JSON, a trouble with what to do, and what is held', async () => {
    const { root, state } = await goodRoot();
    const trouble = {
      at: '2026-05-08T14:15:30.123Z',
      operationId: 'operation-0',
      what: 'It broke',
      todo: 'Mend it',
    };
    await writeFile(join(state, 'lint.json'), '{"version":');
    await writeFile(join(state, 'other.json'), JSON.stringify({ version: 1, trouble }));
    await writeFile(join(state, 'kept.json'), JSON.stringify({ version: 1, held: 'frozen' }));
    const examined = await examineRoot(root);
    expect(examined.bad).toEqual(['error troubles', 'error troubles']);
    expect(foundBy(examined, 'troubles')).toMatch(
      /The state of "lint" cannot be read -> Look at .*\n"other": It broke -> Mend it\nHeld: "kept" -> /,
    );
  });

  it('counts what the gate refuses, by its reason, with what to do', async () => {
    const layout = await goodRoot();
    await writeFiles(layout.live('one'), { 'plugin.yaml': yamlOf('one') });
    await writeFiles(layout.live('two'), { 'plugin.yaml': yamlOf('two') });
    await install(layout, 'torn');
    await writeFile(join(layout.live('torn'), '.complete'), '{"version"');
    await install(layout, 'copied');
    await writeFile(
      join(layout.live('copied'), '.complete'),
      await readFile(join(layout.live('lint'), '.complete')),
    );
    await writeFiles(layout.live('My Plugin'), { 'plugin.yaml': '' });
    const examined = await examineRoot(layout.root);
    const said = foundBy(examined, 'plugins');
    expect(examined.bad.toSorted()).toEqual(['error plugins', 'warning plugins', 'warning plugins']);
    expect(said).toMatch(/The gate refuses "one", "two": no-marker -> Install it with "airlock push", or/);
    expect(said).toMatch(/The gate refuses "torn": marker-invalid -> Install "torn" again/);
    expect(said).toMatch(/The gate refuses "copied": marker-foreign -> Somebody copied a directory/);
    expect(said).toMatch(/No plugin can have these names: "My Plugin" -> /);
  });

  it('names a reserved name that is taken', async () => {
    const { root } = await goodRoot();
    await rm(join(root, '.receipts'), { recursive: true });
    await writeFile(join(root, '.receipts'), '');
    const examined = await examineRoot(root);
    expect(examined.bad).toContain('error file-system');
    expect(foundBy(examined, 'file-system')).toMatch(
      /Not a directory: "\.receipts" -> Move ".*\.receipts" away/,
    );
  });

  it('names modes with which others could change plugins', async () => {
    const { root, previous } = await goodRoot();
    await chmod(root, 0o777);
    await chmod(previous, 0o755);
    const examined = await examineRoot(root);
    expect(examined.bad).toEqual(['warning owner', 'warning owner']);
    expect(foundBy(examined, 'owner')).toMatch(
      /Everybody may write to the root \(mode 0777\) -> chmod o-w .*\nOthers than .* enter ".*\.previous" -> chmod 0700/,
    );
  });

  it('says that nothing is synced, or was not', async () => {
    const { root } = await goodRoot();
    const examined = await examineRoot(root, { AIRLOCK_DURABILITY: 'none' });
    expect(examined.bad).toEqual(['warning durability']);
    expect(foundBy(examined, 'durability')).toMatch(
      /AIRLOCK_DURABILITY is "none" -> Leave AIRLOCK_DURABILITY out/,
    );
    await writeFile(join(root, '.volatile'), JSON.stringify({ version: 1, bootId: 'another' }));
    expect(foundBy(await examineRoot(root), 'durability')).toMatch(
      /before the machine was restarted -> Start an agent/,
    );
  });

  it('says where the runtime cannot report what it has loaded', async () => {
    const { root } = await goodRoot();
    const loadedDir = join(root, '..', 'reports');
    const at = (): Promise<Examined> => examineRoot(root, { AIRLOCK_LOADED_DIR: loadedDir });
    const missing = await at();
    expect(missing.bad).toEqual(['warning loaded']);
    expect(foundBy(missing, 'loaded')).toMatch(
      /reports" \(AIRLOCK_LOADED_DIR\) is not there -> Make ".*reports"/,
    );
    await writeFile(loadedDir, '');
    expect(foundBy(await at(), 'loaded')).toMatch(/reports" is not a directory -> Make/);
    await rm(loadedDir);
    await mkdir(loadedDir);
    await chmod(loadedDir, 0o775);
    expect((await at()).bad).toEqual([]);
  });
});

describe('airlock doctor on the settings of an agent', () => {
  const withTokens = async (text: string, mode = 0o600): Promise<Examined> => {
    const folder = await scratch();
    const file = join(folder, 'tokens');
    await writeFile(file, text);
    await chmod(file, mode);
    const { root } = await makeRoot();
    return examineRoot(root, { AIRLOCK_TOKEN: '', AIRLOCK_TOKEN_FILE: file });
  };

  it('judges the token file by its form, its mode, and what is in it', async () => {
    const token = 't'.repeat(40);
    expect((await withTokens(`write ${token} platform\n`)).bad).toEqual([]);
    const open = await withTokens(`write ${token}\n`, 0o644);
    expect(open.bad).toEqual(['warning token']);
    expect(foundBy(open, 'token')).toMatch(/Everybody on this machine may read ".*0644.* -> chmod 0600/);
    expect(foundBy(await withTokens(`write ${token}\n`, 0o622), 'token')).toMatch(
      /Others .* may write to .* -> chmod/,
    );
    const short = await withTokens('write short platform\n');
    expect(short.bad).toEqual(['error token']);
    expect(foundBy(short, 'token')).toMatch(
      /Line 1 of the token file .* -> A token has at least 32 characters/,
    );
    expect(foundBy(await withTokens('# none\n'), 'token')).toMatch(/holds no token -> Make one with/);
    expect(foundBy(await withTokens(''), 'token')).toMatch(/The token file is empty -> /);
    expect(foundBy(await withTokens(`read ${token}\n`), 'token')).toMatch(
      /0 of them for writing -> airlock token/,
    );
    for (const bad of [open, short]) expect(JSON.stringify(bad.diagnosis)).not.toMatch(/t{32}|short/);
  });

  it('says what a missing or short token means, and never shows one', async () => {
    const { root } = await makeRoot();
    const none = await examineRoot(root, { AIRLOCK_TOKEN: '' });
    expect([none.code, foundBy(none, 'token')]).toEqual([
      0,
      expect.stringMatching(/^No token is set here -> Make/),
    ]);
    const short = await examineRoot(root, { AIRLOCK_TOKEN: 'hunter2' });
    expect(short.bad).toEqual(['error token']);
    expect(foundBy(short, 'token')).toMatch(
      /must be at least 32 characters .* -> Make one with "airlock token"/,
    );
    expect(JSON.stringify(short.diagnosis)).not.toContain('hunter2');
    const gone = await examineRoot(root, { AIRLOCK_TOKEN_FILE: join(root, 'nowhere') });
    expect(foundBy(gone, 'token')).toMatch(
      /The token file ".*nowhere" cannot be read: ENOENT.* -> Name a regular file/,
    );
  });

  it('says with which settings no agent starts, and examines the root all the same', async () => {
    const { root } = await goodRoot();
    const examined = await examineRoot(root, { AIRLOCK_DIAL: 'wss://platform.example' });
    expect(examined.bad).toEqual(['error settings']);
    expect(foundBy(examined, 'settings')).toMatch(
      /the id of its workspace is not set -> Set AIRLOCK_WORKSPACE/,
    );
    expect(examined.of('writable')).toMatchObject([{ level: 'ok' }]);
  });

  it('says that another program has the address, and that tokens would cross the network', async () => {
    const { root } = await makeRoot();
    const server = createServer((_request, response) => response.writeHead(404).end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const taken = await examineRoot(root, { AIRLOCK_LISTEN: `127.0.0.1:${port}` });
    expect(taken.bad).toEqual(['error listen']);
    expect(foundBy(taken, 'listen')).toMatch(/Another program listens on .* -> Set AIRLOCK_LISTEN/);
    // 192.0.2.0/24 is for documentation: no machine has such an address.
    const foreign = await examineRoot(root, { AIRLOCK_LISTEN: '192.0.2.1:7423' });
    expect(foundBy(foreign, 'listen')).toMatch(/cannot listen on .*: EADDRNOTAVAIL -> Set AIRLOCK_LISTEN/);
    expect(foundBy(foreign, 'tls')).toMatch(/There is no TLS, and .* -> Set AIRLOCK_TLS_CERT/);
    const unix = await examineRoot(root, { AIRLOCK_LISTEN: `unix:${join(root, 'nowhere', 'socket')}` });
    expect(foundBy(unix, 'listen')).toMatch(/cannot listen on .*ENOENT/);
  });

  it('judges certificates by their time, their key and the mode of that', async (ctx) => {
    if (!canCertify()) ctx.skip('there is no openssl');
    const folder = await scratch();
    const { root } = await makeRoot();
    const one = makeCertificate(folder, 'one', makeAuthority(folder, 'authority'));
    const other = makeAuthority(folder, 'other');
    const with_ = (cert: string, key: string): Promise<Examined> =>
      examineRoot(root, { AIRLOCK_TLS_CERT: cert, AIRLOCK_TLS_KEY: key });
    await chmod(one.key, 0o600);
    const soon = await with_(one.cert, one.key);
    expect(soon.bad).toEqual(['warning tls']);
    expect(foundBy(soon, 'tls')).toMatch(
      /The certificate of the agent expires at 2\S+Z -> Put a certificate/,
    );
    const wrong = await with_(one.cert, other.key);
    expect(wrong.bad).toContain('error tls');
    expect(foundBy(wrong, 'tls')).toMatch(/cannot be used: .* -> AIRLOCK_TLS_CERT and AIRLOCK_TLS_KEY must/);
    await chmod(one.key, 0o644);
    expect(foundBy(await with_(one.cert, one.key), 'tls')).toMatch(
      /Everybody on this machine may read .*key.* -> chmod/,
    );
  });
});
