import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type TestContext, describe, expect, it, onTestFinished } from 'vitest';

import { isHeldOpen } from '../../agent/disk/held-open.ts';

const needsProc = (ctx: TestContext): void => {
  if (process.platform !== 'linux') ctx.skip('only Linux has /proc');
};

/** A tree, and beside it another one whose name begins alike. */
function makeTrees(): { base: string; tree: string; beside: string } {
  const base = mkdtempSync(join(tmpdir(), 'airlock-held-'));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  const [tree, beside] = [join(base, 'tree'), join(base, 'tree-of-another')];
  for (const directory of [tree, beside]) {
    mkdirSync(join(directory, 'rules'), { recursive: true });
    writeFileSync(join(directory, 'rules', 'a.md'), 'a');
  }
  return { base, tree, beside };
}

/** A process that has something open, or stands somewhere, until it is killed. */
async function visitor(
  open: string | undefined,
  cwd = tmpdir(),
): Promise<{ child: ChildProcess; leave: () => Promise<void> }> {
  const script = `const [, path] = process.argv;
    if (path !== undefined) require('node:fs').openSync(path);
    console.log('there');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['-e', script, ...(open === undefined ? [] : [open])], { cwd });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const leave = async (): Promise<void> => {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  return { child, leave };
}

describe('a tree', () => {
  it('that nobody looks at is not held, nor one that is not there', () => {
    const { tree, base } = makeTrees();
    expect([isHeldOpen(tree), isHeldOpen(join(base, 'nothing'))]).toEqual([false, false]);
  });

  it.each([
    ['has it open', ''],
    ['has a directory in it open', 'rules'],
    ['has a file in it open', 'rules/a.md'],
  ])('is held while a process %s', async (_, path) => {
    const { tree, beside } = makeTrees();
    const { leave } = await visitor(join(tree, path));
    expect([isHeldOpen(tree), isHeldOpen(beside)]).toEqual([process.platform === 'linux', false]);
    await leave();
    expect(isHeldOpen(tree)).toBe(false);
  });

  it('is held while a process stands in it or below it', async (ctx) => {
    needsProc(ctx);
    const { tree, beside } = makeTrees();
    const [a, b] = [await visitor(undefined, tree), await visitor(undefined, join(tree, 'rules'))];
    expect([isHeldOpen(tree), isHeldOpen(beside)]).toEqual([true, false]);
    await a.leave();
    expect(isHeldOpen(tree)).toBe(true);
    await b.leave();
    expect(isHeldOpen(tree)).toBe(false);
  });

  it('is not held by who holds the one beside it, whose name begins alike', async (ctx) => {
    needsProc(ctx);
    const { tree, beside } = makeTrees();
    await visitor(join(beside, 'rules'), beside);
    expect([isHeldOpen(tree), isHeldOpen(beside)]).toEqual([false, true]);
  });

  it('is held also where it is asked for, or was opened, by way of a link', async (ctx) => {
    needsProc(ctx);
    const { base, tree } = makeTrees();
    symlinkSync(base, join(base, 'link'));
    const { leave } = await visitor(join(base, 'link', 'tree', 'rules'));
    expect([isHeldOpen(tree), isHeldOpen(join(base, 'link', 'tree'))]).toEqual([true, true]);
    await leave();
    expect(isHeldOpen(join(base, 'link', 'tree'))).toBe(false);
  });
});
