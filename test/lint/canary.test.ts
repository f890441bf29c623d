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
  forbidden('shared/b.ts', './api/fault.ts', './lanes.ts'),
  forbidden('shared/e.ts', '../watch/watch.ts', '../package.json'),
  forbidden('shared/api/a.ts', '../../agent/disk/port.ts', '../format/name.ts'),
  forbidden('shared/api/b.ts', 'node:fs', 'node:crypto'),
  forbidden('shared/api/c.ts', 'yaml', 'zod'),
  forbidden('shared/archive/a.ts', '../api/methods.ts', '../format/tree.ts'),
  forbidden('shared/archive/b.ts', 'node:fs', 'node:zlib'),
  forbidden('shared/rule/a.ts', '../api/methods.ts', '../format/tree.ts'),
  forbidden('shared/rule/b.ts', 'node:fs/promises', 'node:path'),
  forbidden('shared/format/a.ts', '../rule/classify.ts', '../truncate.ts'),
  forbidden('shared/format/b.ts', '../api/rpc.ts', './name.ts'),
  forbidden('shared/format/c.ts', 'yaml', 'zod'),
  forbidden('shared/format/manifest.ts', 'ws', 'yaml'),
  forbidden('agent/disk/a.ts', '../store/journal.ts', '../../shared/format/name.ts'),
  forbidden('agent/disk/b.ts', '../transport/session.ts', 'node:fs/promises'),
  forbidden('agent/disk/c.ts', '../../client/index.ts'),
  forbidden('agent/disk/d.ts', '../config.ts'),
  forbidden('agent/store/a.ts', '../change/install.ts', '../disk/port.ts'),
  forbidden('agent/store/b.ts', '../archive/tar-reader.ts', '../../shared/format/marker.ts'),
  forbidden('agent/store/c.ts', 'node:fs', 'node:crypto'),
  forbidden('agent/archive/a.ts', '../store/journal.ts', '../disk/disk-fault.ts'),
  forbidden('agent/archive/b.ts', '../disk/port.ts', '../../shared/api/fault.ts'),
  forbidden('agent/archive/c.ts', 'node:fs/promises', 'node:zlib'),
  forbidden('agent/change/a.ts', '../transport/session.ts', '../store/journal.ts'),
  forbidden('agent/change/b.ts', 'node:fs/promises', '../../shared/format/name.ts'),
  forbidden('agent/change/c.ts', 'ws', 'tar'),
  forbidden('agent/change/d.ts', 'pino', 'node:crypto'),
  forbidden('agent/change/e.ts', '../../loader/index.ts'),
  forbidden('agent/change/steps/f.ts', '../../service/queries.ts', '../../disk/port.ts'),
  forbidden('agent/change/g.ts', '../worker/pool.ts', '../archive/tar-reader.ts'),
  forbidden('agent/metrics/a.ts', '../service/service.ts', '../../shared/api/events.ts'),
  forbidden('agent/metrics/b.ts', 'node:fs', '../../shared/clock.ts'),
  forbidden('agent/metrics/c.ts', 'prom-client', './row.ts'),
  forbidden('agent/page/a.ts', '../service/service.ts', '../../shared/api/events.ts'),
  forbidden('agent/page/b.ts', 'node:fs', 'node:crypto'),
  forbidden('agent/page/c.ts', '../metrics/facts.ts', './html.ts'),
  forbidden('agent/worker/a.ts', '../service/service.ts', '../change/install.ts'),
  forbidden('agent/worker/b.ts', '../main.ts', 'node:worker_threads'),
  forbidden('agent/service/a.ts', 'ws', '../worker/messages.ts'),
  forbidden('agent/service/b.ts', '../../cli/main.ts', '../../client/bundle.ts'),
  forbidden('agent/service/c.ts', '../transport/session.ts', '../../watch/watch.ts'),
  forbidden('agent/service/d.ts', '../../client/connect.ts'),
  forbidden('agent/transport/a.ts', '../change/install.ts', '../../shared/api/rpc.ts'),
  forbidden('agent/transport/b.ts', '../disk/port.ts'),
  forbidden('agent/transport/c.ts', 'ws', 'node:crypto'),
  forbidden('agent/transport/d.ts', '../service/service.ts'),
  forbidden('agent/transport/server.ts', '../disk/port.ts', 'ws'),
  forbidden('agent/transport/dial.ts', '../service/service.ts', 'ws'),
  forbidden('agent/a.ts', 'pino', './change/install.ts'),
  forbidden('agent/log.ts', '../cli/main.ts', 'pino'),
  forbidden('loader/a.ts', '../agent/disk/port.ts', '../shared/format/name.ts'),
  forbidden('loader/b.ts', '../client/index.ts', 'node:fs/promises'),
  forbidden('loader/c.ts', 'tar', 'zod'),
  forbidden('client/a.ts', '../agent/agent.ts', '../shared/api/rpc.ts'),
  forbidden('client/b.ts', '../loader/index.ts', 'ws'),
  forbidden('client/c.ts', '../cli/main.ts'),
  forbidden('watch/a.ts', '../loader/index.ts', '../shared/format/name.ts'),
  forbidden('watch/b.ts', '../agent/disk/port.ts', 'node:fs/promises'),
  forbidden('watch/c.ts', 'zod', 'node:fs'),
  forbidden('loader/d.ts', 'ws', '../watch/watch.ts'),
  forbidden('cli/a.ts', '../agent/agent.ts', '../agent/main.ts'),
  forbidden('cli/b.ts', '../agent/change/install.ts', '../loader/index.ts'),
  forbidden('cli/c.ts', '../test/_kit/thing.ts', '../client/index.ts'),
  forbidden('cli/commands/d.ts', '../../agent/transport/server.ts', '../../agent/main.ts'),
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
    title: 'a file may not have more than 400 lines of code',
    file: 'loader/long.ts',
    rule: 'max-lines',
    bad: 'export {};\n'.repeat(400) + 'export const end = 401;\n',
    good: '// line\n\n'.repeat(300) + 'export {};\n'.repeat(399) + 'export const end = 400;\n',
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
