/** Plugins that are updated and removed while the loader reads them, by either of its two ways. */
import { readFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

import type { TestContext } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { removeTree } from '../../agent/disk/record.ts';
import { type Gate, createGate } from '../../loader/gate.ts';
import type { LoaderOptions } from '../../loader/index.ts';
import { createMemory } from '../../loader/memory.ts';
import { type Read, createRead } from '../../loader/read.ts';
import { readOptions } from '../../loader/settings.ts';
import type { Layout } from '../../shared/format/layout.ts';
import { makeStamp } from '../../shared/format/name.ts';
import { install, makeRoot, yamlOf } from './loader-root.ts';

export const FILES = ['plugin.yaml', 'rules/a.md', 'skills/one/SKILL.md'];
const filesOf = (version: string): Record<string, string> =>
  Object.fromEntries(FILES.map((path) => [path, path === 'plugin.yaml' ? yamlOf('lint') : version]));

/** A root with version `one` of a plugin, and a stamp after every one that was given out. */
export async function makeWorld(): Promise<{ layout: Layout; update: (version: string) => Promise<string> }> {
  const layout = await makeRoot();
  await install(layout, 'lint', filesOf('one'));
  let updates = 0;
  const update = async (version: string): Promise<string> => {
    updates += 1;
    const stamp = makeStamp(Date.UTC(2026, 5, 1) + updates, 'ab'.repeat(32));
    await install(layout, 'lint', filesOf(version), stamp, layout.slot('lint', stamp));
    await rename(layout.live('lint'), layout.snapshot('lint', stamp));
    await rename(layout.slot('lint', stamp), layout.live('lint'));
    return stamp;
  };
  return { layout, update };
}

/** Removes all that was displaced, as the agent does. */
export async function collect(layout: Layout): Promise<void> {
  for (const name of await readdir(layout.previous)) {
    await rename(join(layout.previous, name), join(layout.previous, `${name}.trash`));
    removeTree(nodeDisk, join(layout.previous, `${name}.trash`));
  }
}

export type Way = 'through the open directory' | 'by the live path';
export const WAYS: Way[] = ['through the open directory', 'by the live path'];

export function needs(way: Way, ctx: TestContext): void {
  if (way === 'through the open directory' && process.platform !== 'linux') ctx.skip('only Linux has /proc');
}

export type Around = (gate: Gate) => Gate;
export function reading(
  layout: Layout,
  way: Way,
  options: Omit<LoaderOptions, 'roots'> = {},
  dependencies?: Around,
): Read {
  const settings = readOptions({ roots: [layout.root], ...options });
  const gate = createGate(settings, createMemory());
  const canPin = way === 'by the live path' ? () => Promise.resolve(false) : undefined;
  return createRead(settings, dependencies?.(gate) ?? gate, canPin);
}

export const below = (root: string): Promise<string[]> =>
  Promise.all(FILES.slice(1).map((path) => readFile(join(root, path), 'utf8')));

export const failing = (code: string): Error =>
  Object.assign(new Error(`${code}: of the reader's own`), { code, syscall: 'open' });
