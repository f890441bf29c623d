/** The story of a full disk in docs/operations.md: each command is typed as it stands there, and says what stands there. */
import { spawn } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { Filler } from '../_kit/filler.ts';
import { needMounts, tmpfsMount } from '../_kit/mounts.ts';
import { Program, endOf, examplePlugin, repository } from '../_kit/program.ts';
import { inProcess } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';

const TITLE = '## A full disk at night\n';

/** A terminal clears the rest of its line: what comes before is gone. */
const CLEARED = '\u001B[K';

type Step = { command: string; shown: string[] };

/** The commands of the story, each with what it prints. */
async function stepsOfStory(): Promise<Step[]> {
  const page = await readFile(join(repository, 'docs/operations.md'), 'utf8');
  const [, after = ''] = page.split(TITLE);
  const [story = ''] = after.split('\n## ');
  return [...story.matchAll(/```\n(\$ [^]*?)\n```/g)].flatMap(([, block = '']) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const [command = '', ...shown] = text.trimEnd().split('\n');
        return { command, shown };
      }),
  );
}

/** A line without what differs from run to run, and without the progress bar before it. */
const plain = (line: string): string =>
  (line.split(CLEARED).at(-1) ?? '')
    .replaceAll(/\d{8}T\d{9}Z-[0-9a-f]{8}/g, '<id>')
    .replaceAll(/\b[1-9]\d*(?:\.\d+)?(?: [KMG]iB)?/g, '<n>')
    .replaceAll(/ +/g, ' ')
    .trim();

/** Whether it says these lines, in this order, and nothing else; a line "…" stands for any others. */
function isSaid(shown: readonly string[], said: string): boolean {
  const lines = said.trimEnd().split('\n').map(plain);
  let from = 0;
  let isFree = false;
  for (const line of shown) {
    if (line === '…') {
      isFree = true;
      continue;
    }
    const at = lines.indexOf(plain(line), from);
    if (at < 0 || (!isFree && at !== from)) return false;
    from = at + 1;
    isFree = false;
  }
  return isFree || from === lines.length || (shown.length === 0 && said === '');
}

it('is told by the metrics, the status and the doctor, is put right, and then the install succeeds', async (ctx) => {
  needMounts(ctx, 'tmpfs');
  const mount = tmpfsMount(16);
  const program = await Program.open();
  onTestFinished(() => program.close());
  const root = join(mount.point, 'plugins');
  mkdirSync(root);
  await program.serve({ AIRLOCK_ROOT: root, AIRLOCK_MAX_UNPACKED: '4M' });
  const { host } = new URL(program.url);
  const type = async (line: string): Promise<string> => {
    const here = line
      .replaceAll('127.0.0.1:7423', host)
      .replaceAll('/configs', mount.point)
      .replaceAll('house-rules/', examplePlugin);
    const [command = '', ...words] = here.split(' ');
    if (command === 'airlock') return (await inProcess(words, { AIRLOCK_TOKEN: program.token })).text;
    const child = spawn('sh', ['-c', here], { env: { PATH: process.env['PATH'] ?? '' }, stdio: 'pipe' });
    const { code, stdout, stderr } = await endOf(child);
    if (/not found/.test(stderr)) ctx.skip(`this machine lacks a tool: ${stderr.trim()}`);
    expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: '' });
    return stdout;
  };
  new Filler(mount.point).fill(0);
  renameSync(join(mount.point, 'filler'), join(mount.point, 'debug.log'));
  const steps = await stepsOfStory();
  expect(steps.map(({ command }) => command.split(' ').slice(0, 2).join(' '))).toEqual(
    expect.arrayContaining(['airlock status', 'airlock doctor', 'airlock push', 'rm /configs/debug.log']),
  );
  for (const { command, shown } of steps) {
    // What an agent knows of its disk is some seconds old.
    await until(async () => {
      const said = (await type(command))
        .replaceAll(mount.point, '/configs')
        .replaceAll(host, '127.0.0.1:7423');
      expect({ command, isSaid: isSaid(shown, said), said }).toEqual({ command, isSaid: true, said });
    });
  }
});
