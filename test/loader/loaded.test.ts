import { chmod, mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { Fault, createLoader } from '../../loader/index.ts';
import { loadedSchema } from '../../shared/format/loaded.ts';
import { LATER, STAMP, install, makeRoot } from '../_kit/loader-root.ts';

const faultOf = async (run: Promise<unknown>): Promise<unknown> => run.catch((error: unknown) => error);

describe('loaded', () => {
  it('writes down which generation the runtime runs, whole, and replaces what it said before', async () => {
    const layout = await makeRoot();
    await install(layout, 'lint');
    const loader = createLoader({ roots: [layout.root] });
    const { admitted } = await loader.scan();
    for (const plugin of admitted) await loader.loaded(plugin, plugin.generation);
    const read = async (): Promise<unknown> =>
      loadedSchema.parse(JSON.parse(await readFile(layout.loadedOf('lint'), 'utf8')));
    expect(await read()).toMatchObject({ version: 1, generation: STAMP });
    await loader.loaded('lint', LATER);
    expect(await read()).toMatchObject({ generation: LATER });
    expect(await readdir(layout.loaded)).toEqual(['lint.json']);
    // What it keeps is no plugin.
    expect((await loader.scan()).refused).toEqual([]);
  });

  it('writes where it is told to, and below the first root else', async () => {
    const [first, second] = [await makeRoot(), await makeRoot()];
    const moved = join(first.root, '..', 'elsewhere', 'loaded');
    await createLoader({ roots: [first.root], loadedDir: moved }).loaded('lint', STAMP);
    expect(await readdir(moved)).toEqual(['lint.json']);
    await createLoader({ roots: [second.root, first.root] }).loaded('lint', STAMP);
    expect(await readdir(second.loaded)).toEqual(['lint.json']);
    await expect(readdir(first.loaded)).rejects.toThrow('ENOENT');
  });

  it('says since when its files were read: since the scan, and anew by whoever read them anew', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1000 });
    onTestFinished(() => void vi.useRealTimers());
    const layout = await makeRoot();
    await install(layout, 'lint');
    const loader = createLoader({ roots: [layout.root] });
    const report = async (generation: string, when?: number): Promise<number> => {
      await loader.loaded('lint', generation, when);
      const { at } = loadedSchema.parse(JSON.parse(await readFile(layout.loadedOf('lint'), 'utf8')));
      return Date.parse(at ?? '');
    };
    await loader.scan();
    vi.setSystemTime(2000);
    expect(await report(STAMP)).toBe(1000);
    // A skill was edited in place, which makes no new generation; the runtime reads it again.
    vi.setSystemTime(3000);
    const generation = await loader.read('lint', (_root, version) => version.generation);
    vi.setSystemTime(4000);
    expect(await report(generation)).toBe(3000);
    await loader.gate('lint');
    vi.setSystemTime(5000);
    expect([await report(generation), await report(LATER)]).toEqual([4000, 5000]);
    // Whoever knows better says so; nothing was read in time to come.
    expect([await report(generation, 1234), await report(generation, 6000)]).toEqual([1234, 5000]);
  });

  it('takes concurrent reports: one of them is there in the end, and no litter', async () => {
    const layout = await makeRoot();
    const loader = createLoader({ roots: [layout.root] });
    const generations = Array.from({ length: 20 }, (_, i) => `dir-1-2-${i}`);
    await Promise.all(generations.map((generation) => loader.loaded('lint', generation)));
    const { generation } = loadedSchema.parse(JSON.parse(await readFile(layout.loadedOf('lint'), 'utf8')));
    expect(generations).toContain(generation);
    expect(await readdir(layout.loaded)).toEqual(['lint.json']);
  });

  it.each<[name: string, generation: string, at?: number]>([
    ['../lint', STAMP],
    ['.loaded', STAMP],
    ['lint', ''],
    ['lint', 'x'.repeat(257)],
    ['lint', STAMP, Number.NaN],
    ['lint', STAMP, -1e20],
  ])('refuses "%s" of the generation "%s", read at %s', async (name, generation, at) => {
    const layout = await makeRoot();
    const fault = await faultOf(createLoader({ roots: [layout.root] }).loaded(name, generation, at));
    expect(fault).toMatchObject({ code: 'INVALID_PARAMS' });
    await expect(readdir(layout.loaded)).rejects.toThrow('ENOENT');
  });

  it('says where the runtime must be allowed to write', async (ctx) => {
    if (process.getuid?.() === 0) ctx.skip('root may write everywhere');
    const layout = await makeRoot();
    await mkdir(layout.loaded, { mode: 0o555 });
    await chmod(layout.loaded, 0o555);
    const fault = await faultOf(createLoader({ roots: [layout.root] }).loaded('lint', STAMP));
    expect(fault).toBeInstanceOf(Fault);
    expect((fault as Fault).hint).toContain('AIRLOCK_LOADED_DIR');
  });

  it('a path that is no directory is said with what to do', async () => {
    const layout = await makeRoot();
    await install(layout, 'lint');
    const loadedDir = join(layout.live('lint'), 'plugin.yaml');
    const fault = await faultOf(createLoader({ roots: [layout.root], loadedDir }).loaded('lint', STAMP));
    expect(fault).toMatchObject({ code: 'INTERNAL', hint: expect.stringContaining('AIRLOCK_LOADED_DIR') });
  });
});
