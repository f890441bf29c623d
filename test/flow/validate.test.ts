import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openSession, push } from '../../client/index.ts';
import type { Fault } from '../../shared/api/fault.ts';
import { type Finding, findingText } from '../../shared/rule/plugin/finding.ts';
import { examplePlugin, Program, runHere } from '../_kit/program.ts';
import { sha256 } from '../_kit/install-room.ts';
import { directory, file, gzip, symlink, tar, unended } from '../_kit/tar-builder.ts';

let program: Program;
beforeAll(async () => {
  program = await Program.open();
  await program.serveHere();
});
afterAll(() => program.close());

type Report = { plugin?: string; errors: number; warnings: number; notes: number; findings: Finding[] };
type Seen = { code: number | null; report: Report };

async function validate(path: string, ...more: string[]): Promise<Seen> {
  const { code, stdout } = await program.here(['validate', path, '--json', ...more]);
  return { code, report: JSON.parse(stdout) as Report };
}

const rules = ({ report }: Seen): string[] => report.findings.map(({ rule, path }) => `${rule} ${path}`);

/** Writes files; those that end in `.sh` are executable. @returns the directory. */
async function plugin(name: string, contents: Record<string, string>): Promise<string> {
  const to = join(program.folder, name);
  for (const [path, text] of Object.entries({ 'plugin.yaml': `name: ${name}\n`, ...contents })) {
    const place = join(to, path);
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, text);
    if (path.endsWith('.sh')) await chmod(place, 0o755);
  }
  return to;
}

async function bundle(name: string, bytes: Buffer): Promise<string> {
  const to = join(program.folder, `${name}.tgz`);
  await writeFile(to, bytes);
  return to;
}

const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${'MIIE'.repeat(20)}\n-----END RSA PRIVATE KEY-----\n`;
const SKILL = '---\nname: a\ndescription: does it\n---\n';

describe('airlock validate DIR', () => {
  it('finds nothing in the example', async () => {
    const seen = await validate(examplePlugin, '--strict');
    expect([seen.code, seen.report]).toMatchObject([0, { plugin: 'house-rules', findings: [] }]);
  });

  it('tells all errors at once, and ends with 1', async () => {
    const path = await plugin('wrong', {
      'plugin.yaml': 'name: [a]\n',
      'rules/aux.md': '',
      'Rules/a.md': '',
      'notes.txt': KEY,
      '.env': 'A=1\n',
      'skills/a/Skill.md': SKILL,
    });
    const seen = await validate(path);
    expect([seen.code, rules(seen).toSorted((x, y) => (x < y ? -1 : 1))]).toEqual([
      1,
      [
        'manifest-invalid plugin.yaml',
        'path-collision rules',
        'path-refused rules/aux.md',
        'secret .env',
        'secret notes.txt',
        'skill-file-case skills/a/Skill.md',
      ],
    ]);
  });

  it('says nothing of a file that is allowed, and ends with 1 for warnings only if it is to be strict', async () => {
    const path = await plugin('doubtful', { 'key.txt': KEY, 'skills/a/SKILL.md': '---\nname: a\n---\n' });
    expect((await validate(path)).code).toBe(1);
    const seen = await validate(path, '--allow-secret', 'key.txt');
    expect([seen.code, rules(seen)]).toEqual([0, ['skill-no-description skills/a/SKILL.md']]);
    expect((await validate(path, '--allow-secret', 'key.txt', '--strict')).code).toBe(1);
  });

  it('finds that there is no manifest, and which plugins are below', async () => {
    const path = join(program.folder, 'market');
    await plugin('market/plugins/a', {});
    const { code, report } = await validate(path);
    expect([code, report.findings]).toMatchObject([
      1,
      [{ rule: 'manifest-missing', path: '', message: expect.stringContaining('plugins/a/') }],
    ]);
  });

  it('holds to the limits of an agent', async () => {
    const path = await plugin('large', { 'a/b/c.md': 'x'.repeat(2000) });
    const seen = await validate(path, '--max-unpacked', '1K', '--max-depth', '2', '--max-entries', '2');
    expect(rules(seen)).toEqual(['path-refused a/b/c.md', 'limit-exceeded ', 'limit-exceeded ']);
  });

  it('ends with 2 if it is asked for nothing, and with 1 for a path that is not there', async () => {
    expect((await program.here(['validate'])).code).toBe(2);
    expect((await program.here(['validate', join(program.folder, 'nowhere')])).code).toBe(1);
  });

  it('shows people the findings of each file together, what to do, and a count', async () => {
    const path = await plugin('shown', { 'skills/a/SKILL.md': '---\nname: b\n---\n', 'a.py': '#!/bin/sh\n' });
    const { stdout } = await runHere(['validate', path], { NO_COLOR: '1' }, { isTTY: true });
    expect(stdout.split('\n')).toEqual([
      'a.py:1  note  it begins with #! and is not executable  (script-not-executable)',
      'skills/a/SKILL.md:2  warning  its name is "b", and its directory is "a"  (skill-name)',
      '  what to do: Give the skill and its directory the same name',
      'skills/a/SKILL.md  warning  its front matter has no description  (skill-no-description)',
      '  what to do: Add a "description" that says what the skill does and when to use it',
      'doubtful  shown (3 files): 0 errors, 2 warnings, 1 note',
      '',
    ]);
  });
});

/** A bundle, and the rules of the errors that it has. */
type Case = [name: string, bytes: () => Buffer, errors: string[]];
const yaml = (name: string, more = ''): Buffer => file('plugin.yaml', `name: ${name}\n${more}`);
const CASES: Case[] = [
  ['fine', () => gzip(tar(yaml('fine'), file('rules/a.md', 'x'))), []],
  [
    'warned',
    () =>
      gzip(
        tar(
          yaml('warned', 'author: [x]\nskills: [a, gone]\n'),
          file('skills/a/SKILL.md', '---\nname: b\n---\n\u202E'),
          file('skills/b/skill.md', 'x'),
          file('hooks/run.sh', '#!/bin/sh\r\n'),
          file(
            'hooks/hooks.json',
            '{"command":"${CLAUDE_PLUGIN_ROOT}/hooks/run.sh ${CLAUDE_PLUGIN_ROOT}/x"}',
          ),
          file('CLAUDE.md', 'plugin.yaml'),
          file('cafe\u0301', 'x'),
          file('a?', 'x'),
          file('.DS_Store', 'x'),
          symlink('dead', 'nowhere'),
        ),
      ),
    [],
  ],
  ['topped', () => gzip(tar(file('p/plugin.yaml', 'name: topped\n'))), []],
  [
    'device',
    () => gzip(tar(yaml('device'), file('aux.md', 'x'), file('a\\b', 'x'))),
    ['path-refused', 'path-refused'],
  ],
  ['twice', () => gzip(tar(yaml('twice'), file('A', 'x'), file('a', 'x'))), ['path-collision']],
  ['climbs', () => gzip(tar(yaml('climbs'), file('../x', 'x'))), ['path-refused']],
  [
    'reserved',
    () => gzip(tar(file('p/plugin.yaml', 'name: reserved\n'), file('p/.staging/x', ''))),
    ['path-refused'],
  ],
  ['needed', () => gzip(tar(yaml('needed'), symlink('skills/a/SKILL.md', '/etc/passwd'))), ['entry-refused']],
  ['fifo', () => gzip(tar(yaml('fifo'), file('p', '', { type: '6' }))), ['entry-refused']],
  ['cut', () => gzip(unended(yaml('cut'))), ['archive-refused']],
  ['garbage', () => gzip(Buffer.alloc(4096, 'x')), ['archive-refused']],
  ['bomb', () => gzip(tar(yaml('bomb'), file('zeros', Buffer.alloc(8 << 20)))), ['limit-exceeded']],
  ['none', () => gzip(tar(file('README.md', 'x'), directory('q/'))), ['manifest-missing']],
  ['wrong', () => gzip(tar(file('plugin.yaml', 'name: [wrong]\n'))), ['manifest-invalid']],
];

describe('airlock validate BUNDLE says what an agent says', () => {
  it.each(CASES)('%s', async (name, bytes, errors) => {
    const path = await bundle(name, bytes());
    const { code, report } = await validate(path);
    const found = report.findings.filter(({ level }) => level === 'error').map(({ rule }) => rule);
    expect([code, found]).toEqual([errors.length > 0 ? 1 : 0, errors]);

    const open = () => openSession({ url: program.url, token: program.token, client: 'test' });
    const sent = { plugin: name, file: path, size: bytes().length, sha256: sha256(bytes()) };
    const installed = await push(open, sent).catch((error: unknown) => error as Fault);
    expect('code' in installed, 'refused by the agent').toBe(errors.length > 0);
    if (!('code' in installed)) {
      // Notes about single files are not among the warnings of an agent.
      const said = report.findings.filter(({ level, rule }) => level !== 'note' || rule === 'archive-remark');
      const byText = (a: string, b: string): number => (a < b ? -1 : 1);
      expect(installed.warnings.items.toSorted(byText)).toEqual(said.map(findingText).toSorted(byText));
    }
  });

  it('and reads all that is in it, whatever its .airlockignore names; a secret is an error', async () => {
    const path = await bundle(
      'hidden',
      gzip(tar(yaml('hidden'), file('.airlockignore', '*\n'), file('key.txt', KEY))),
    );
    const seen = await validate(path);
    expect([seen.code, rules(seen)]).toEqual([1, ['secret key.txt']]);
    expect((await validate(path, '--allow-secret', 'key.txt')).code).toBe(0);
  });

  it('and tells of a missing manifest beside other errors, whatever a marketplace says', async () => {
    const list = '{"plugins":[{"name":"listed","source":"./"}]}';
    const path = await bundle(
      'listed',
      gzip(tar(file('.claude-plugin/marketplace.json', list), file('key.txt', KEY))),
    );
    const seen = await validate(path);
    expect(rules(seen)).toEqual(['manifest-missing ', 'secret key.txt']);
  });

  it('and leaves nothing behind', async () => {
    const temporary = join(program.folder, 'tmp');
    await mkdir(temporary);
    for (const bytes of [gzip(tar(yaml('again'))), gzip(Buffer.alloc(4096, 'x'))]) {
      await program.run(['validate', await bundle('again', bytes)], { TMPDIR: temporary });
    }
    expect(await readdir(temporary)).toEqual([]);
  });
});

describe('before a byte is sent', () => {
  const live = async (): Promise<string[]> =>
    (await readdir(program.root)).toSorted((a, b) => (a < b ? -1 : 1));

  it('push says what would be doubtful, once, and installs it', async () => {
    const path = await plugin('said', { 'skills/a/SKILL.md': '---\nname: a\n---\n' });
    const { code, stderr } = await program.here(['push', path, '--to', program.url]);
    expect([code, stderr.split('\n')]).toEqual([
      0,
      [expect.stringMatching(/^warning: skills\/a\/SKILL\.md: its front matter has no description; /), ''],
    ]);
    const packed = await program.here(['pack', path, '--out', join(program.folder, 'said.tgz')]);
    expect([packed.code, packed.stderr]).toEqual([0, stderr]);
    const again = await program.here(['push', join(program.folder, 'said.tgz'), '--to', program.url]);
    expect([again.code, again.stderr]).toEqual([0, stderr]);
  });

  it('push says that a secret is in a bundle, and sends it', async () => {
    const path = await bundle('leaky', gzip(tar(yaml('leaky'), file('.env', 'A=1'), file('key.txt', KEY))));
    const { code, stderr } = await program.here(['push', path, '--to', program.url]);
    expect([code, stderr.split('\n')]).toEqual([
      0,
      [
        expect.stringMatching(
          /^warning: \.env: it looks like a secret; pack the plugin again without it.*\(warning: secret\)$/,
        ),
        expect.stringMatching(/^warning: key\.txt: it looks like a secret; /),
        '',
      ],
    ]);
    const allowed = ['--allow-secret', '.env', '--allow-secret', 'key.txt'];
    const again = await program.here(['push', path, '--to', program.url, ...allowed]);
    expect([again.code, again.stderr]).toEqual([0, '']);
  });

  it('push sends a bundle that it cannot look into, and says so', async () => {
    const path = await bundle('unseen', gzip(tar(yaml('unseen'))));
    const ended = await program.run(['push', path, '--to', program.url], { TMPDIR: '/dev/null' });
    expect([ended.code, ended.stderr]).toEqual([
      0,
      expect.stringMatching(
        /^warning: The bundle was not looked into: Making a directory in "\/dev\/null" failed: ENOTDIR/,
      ),
    ]);
  });

  it('push refuses what every agent refuses, in a directory and in a bundle', async () => {
    const before = await live();
    const path = await plugin('refused', { 'aux.md': '', con: '' });
    const packed = await bundle('refused', gzip(tar(yaml('refused'), file('aux.md', ''), file('con', ''))));
    for (const one of [path, packed]) {
      // Nobody listens there.
      const { code, stderr } = await program.here(['push', one, '--to', 'ws://127.0.0.1:1']);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/aux\.md.*\n.*con/s)]);
    }
    expect(await live()).toEqual(before);
  });
});

describe('--sarif', () => {
  type Sarif = {
    version: string;
    runs: {
      tool: { driver: { rules: { id: string }[] } };
      results: {
        ruleId: string;
        ruleIndex: number;
        level: string;
        message: { text: string };
        locations: {
          physicalLocation: { artifactLocation: { uri: string }; region: { startLine: number } };
        }[];
      }[];
    }[];
  };
  const sarif = async (path: string): Promise<Sarif> =>
    JSON.parse((await program.here(['validate', path, '--sarif'])).stdout) as Sarif;

  it('has all rules, and a result for each finding with its place', async () => {
    const path = await plugin('sarif', { 'skills/a b#/SKILL.md': '---\nname: b\n---\n' });
    const { version, runs } = await sarif(path);
    const { tool, results } = runs[0] ?? { tool: { driver: { rules: [] } }, results: [] };
    expect([version, results.length]).toEqual(['2.1.0', 2]);
    for (const { ruleId, ruleIndex } of results) expect(tool.driver.rules[ruleIndex]?.id).toBe(ruleId);
    expect(results[0]).toMatchObject({
      ruleId: 'skill-name',
      level: 'warning',
      message: {
        text: 'Its name is "b", and its directory is "a b#". Give the skill and its directory the same name.',
      },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: 'skills/a%20b%23/SKILL.md' },
            region: { startLine: 2 },
          },
        },
      ],
    });
  });

  it('says why nothing could be found, and ends as without it', async () => {
    const { code, stdout, stderr } = await program.here(['validate', '/nowhere', '--sarif']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('"/nowhere" does not exist')]);
    expect((JSON.parse(stdout) as Sarif).runs).toMatchObject([
      {
        results: [],
        invocations: [
          {
            executionSuccessful: false,
            toolExecutionNotifications: [{ level: 'error', message: { text: '"/nowhere" does not exist.' } }],
          },
        ],
      },
    ]);
  });

  it('places what is found in a bundle at the bundle', async () => {
    const path = await bundle('placed', gzip(tar(yaml('placed'), file('aux.md', ''))));
    const [result] = (await sarif(path)).runs[0]?.results ?? [];
    expect(result).toMatchObject({ level: 'error', message: { text: expect.stringMatching(/^aux\.md: /) } });
  });
});
