import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';

/** A linter that reads nothing is also green: each of these plants one thing that must be red, and names its rule. */
interface Canary {
  title: string;
  file: string;
  rule: string;
  /** What the file says besides, and what of it must be red. */
  bad: string;
  good: string;
}

const root = path.resolve(import.meta.dirname, '../..');

/** One import of a name of `from`; whether that module exists does not matter to the floors. */
function forbidden(file: string, from: string, allowed = './neighbour.ts'): Canary {
  const use = (specifier: string): string =>
    `import { thing } from '${specifier}';\n\nexport const used = thing;\n`;
  const title = `${file} may not import ${from}, but may import ${allowed}`;
  return { title, file, rule: 'no-restricted-imports', bad: use(from), good: use(allowed) };
}

const floors: Canary[] = [
  forbidden('shared/a.ts', '../agent/disk/port.ts', 'zod'),
  forbidden('shared/b.ts', 'node:fs', 'node:crypto'),
  forbidden('shared/c.ts', 'node:fs/promises', 'node:path'),
  forbidden('shared/d.ts', 'yaml', '../package.json'),
  forbidden('shared/manifest.ts', 'ws', 'yaml'),
  forbidden('agent/disk/a.ts', '../install/install.ts', '../../shared/name.ts'),
  forbidden('agent/disk/b.ts', '../session/session.ts', 'node:fs/promises'),
  forbidden('agent/disk/c.ts', '../../client/index.ts'),
  forbidden('agent/disk/d.ts', '../config.ts'),
  forbidden('agent/install/a.ts', '../session/session.ts', '../disk/port.ts'),
  forbidden('agent/install/b.ts', 'node:fs/promises', '../../shared/name.ts'),
  forbidden('agent/install/c.ts', 'ws', 'tar'),
  forbidden('agent/install/d.ts', 'pino', 'node:crypto'),
  forbidden('agent/install/e.ts', '../../loader/index.ts'),
  forbidden('agent/install/steps/f.ts', '../../operation/looks.ts', '../../disk/port.ts'),
  forbidden('agent/worker/a.ts', '../session/session.ts', '../install/install.ts'),
  forbidden('agent/worker/b.ts', '../main.ts', 'node:worker_threads'),
  forbidden('agent/operation/a.ts', 'ws', '../worker/messages.ts'),
  forbidden('agent/operation/b.ts', '../../cli/main.ts', '../../shared/name.ts'),
  forbidden('agent/session/a.ts', '../install/install.ts', '../../shared/rpc.ts'),
  forbidden('agent/session/b.ts', '../disk/port.ts'),
  forbidden('agent/session/c.ts', 'ws', 'node:crypto'),
  forbidden('agent/session/listen.ts', '../disk/port.ts', 'ws'),
  forbidden('agent/a.ts', 'pino', './install/install.ts'),
  forbidden('agent/log.ts', '../cli/main.ts', 'pino'),
  forbidden('loader/a.ts', '../agent/disk/port.ts', '../shared/name.ts'),
  forbidden('loader/b.ts', '../client/index.ts', 'node:fs/promises'),
  forbidden('loader/c.ts', 'tar', 'zod'),
  forbidden('client/a.ts', '../agent/agent.ts', '../shared/rpc.ts'),
  forbidden('client/b.ts', '../loader/index.ts', 'ws'),
  forbidden('client/c.ts', '../cli/main.ts'),
  forbidden('shared/e.ts', '../watch/watch.ts', '../package.json'),
  forbidden('watch/a.ts', '../loader/index.ts', '../shared/name.ts'),
  forbidden('watch/b.ts', '../agent/disk/port.ts', 'node:fs/promises'),
  forbidden('watch/c.ts', 'zod', 'chokidar'),
  forbidden('loader/d.ts', 'chokidar', '../watch/watch.ts'),
  forbidden('cli/a.ts', '../agent/agent.ts', '../agent/main.ts'),
  forbidden('cli/b.ts', '../agent/install/install.ts', '../loader/index.ts'),
  forbidden('cli/c.ts', '../test/_kit/thing.ts', '../client/index.ts'),
  forbidden('cli/commands/d.ts', '../../agent/session/listen.ts', '../../agent/main.ts'),
];

const habits: Canary[] = [
  {
    title: 'two files may not import each other',
    file: 'shared/cycle-a.ts',
    rule: 'no-cycle',
    bad: "import { b } from './cycle-b.ts';\n\nexport const a = (): number => b();\n",
    good: 'export const a = (): number => 1;\n',
  },
  {
    title: 'a promise may not float',
    file: 'client/floating.ts',
    rule: 'no-floating-promises',
    bad: 'export const work = async (): Promise<number> => 1;\nwork();\n',
    good: 'export const work = async (): Promise<number> => 1;\nawait work();\n',
  },
  {
    title: 'a file may not have more than 300 lines',
    file: 'loader/long.ts',
    rule: 'max-lines',
    bad: '// line\n'.repeat(300) + 'export const end = 301;\n',
    good: '// line\n'.repeat(299) + 'export const end = 300;\n',
  },
  {
    title: 'the environment may not be read below the command line',
    file: 'agent/environment.ts',
    rule: 'no-process-env',
    bad: 'export const home = process.env;\n',
    good: 'export const home = process.cwd();\n',
  },
  {
    title: 'a switch may not forget a case',
    file: 'shared/switch.ts',
    rule: 'switch-exhaustiveness-check',
    bad: "export function size(of: 's' | 'l'): number {\n  switch (of) {\n    case 's':\n      return 1;\n  }\n  return 2;\n}\n",
    good: "export function size(of: 's' | 'l'): number {\n  switch (of) {\n    case 's':\n      return 1;\n    case 'l':\n      return 2;\n  }\n}\n",
  },
];

const FLOORS = ['shared', 'watch', 'agent', 'loader', 'client', 'cli'];
const canaries = [...floors, ...habits];
const Report = z.object({ diagnostics: z.array(z.object({ code: z.string(), filename: z.string() })) });

/** File → the rules that are red in it, over a tree that holds either the bad or the good half of every canary. */
function lint(half: 'bad' | 'good'): Map<string, string[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'airlock-canary-'));
  try {
    for (const name of ['.oxlintrc.json', 'tsconfig.json', 'package.json']) {
      cpSync(path.join(root, name), path.join(folder, name));
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
    const plant = (file: string, text: string): void => {
      mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      writeFileSync(path.join(folder, file), text);
    };
    plant('shared/cycle-b.ts', "import { a } from './cycle-a.ts';\n\nexport const b = (): number => a();\n");
    for (const canary of canaries) plant(canary.file, canary[half]);
    const oxlint = path.join(root, 'node_modules/.bin/oxlint');
    const run = spawnSync(oxlint, ['--format=json', ...FLOORS], {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 16 * 1024 * 1024,
    });
    const red = new Map<string, string[]>();
    for (const { filename, code } of Report.parse(JSON.parse(run.stdout)).diagnostics) {
      red.set(filename, [...(red.get(filename) ?? []), code]);
    }
    return red;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('the linter is awake', () => {
  let bad: Map<string, string[]>;
  let good: Map<string, string[]>;
  beforeAll(() => {
    bad = lint('bad');
    good = lint('good');
  });

  for (const { title, file, rule } of canaries) {
    test(title, () => {
      expect(bad.get(file)?.join(' ') ?? 'nothing was red').toContain(`(${rule})`);
      expect((good.get(file) ?? []).filter((code) => code.includes(`(${rule})`))).toEqual([]);
    });
  }
});

describe('the linter is not talked out of it', () => {
  test('no file switches a rule off by a comment', () => {
    const listed = spawnSync(
      'git',
      ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', '*.ts', '*.mjs'],
      {
        cwd: root,
        encoding: 'utf8',
      },
    );
    const files = listed.stdout
      .split('\0')
      .filter((name) => name !== '' && existsSync(path.join(root, name)));
    const directive = /(?:oxlint|eslint)-(?:disable|enable)|@ts-(?:ignore|nocheck|expect-error)/;
    const self = path.relative(root, import.meta.filename);
    const talking = files.filter(
      (name) => name !== self && directive.test(readFileSync(path.join(root, name), 'utf8')),
    );
    expect(talking).toEqual([]);
  });
});
