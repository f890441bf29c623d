/** `airlock adopt`, through an agent and without one: a plan, then the marker, and no restart. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { openSession, type AgentEvent } from '../../client/index.ts';
import { adoptedSchema } from '../../shared/api/plugin.ts';
import { until } from '../_kit/until.ts';
import { WAYS, inProcess, makeScene } from '../_kit/two-ways.ts';

vi.setConfig({ testTimeout: 120_000 });

async function copy(root: string, name: string): Promise<void> {
  await mkdir(join(root, name, 'rules'), { recursive: true });
  await writeFile(join(root, name, 'plugin.yaml'), `name: ${name}\nversion: 4.5.6\n`);
  await writeFile(join(root, name, 'rules/a.md'), 'a');
}

describe.each(WAYS)('airlock adopt, %s', (way) => {
  it('shows the plan, adopts with --yes, and leaves nothing that waits for a restart', async () => {
    const scene = await makeScene(way, []);
    const { root, token, url } = scene.program;
    if (way === 'through an agent') {
      // Edits before the watcher is ready are not told.
      await until(async () =>
        expect(await scene.said(['status', '--quick'])).toMatchObject({ watch: { mode: 'on' } }),
      );
    }
    await copy(root, 'copied');
    const events: AgentEvent[] = [];
    const session =
      way === 'on the root'
        ? undefined
        : await openSession({
            url,
            token,
            client: 'test',
            events: 'all',
            onEvent: (event) => events.push(event),
          });
    const planned = adoptedSchema.parse(await scene.said(['adopt', 'copied']));
    expect(planned).toMatchObject({ status: 'planned', installId: null, files: 2 });
    expect(await readdir(join(root, 'copied'))).not.toContain('.complete');
    const other = `sha256:${'0'.repeat(64)}`;
    expect(await scene.said(['adopt', 'copied', '--yes', '--tree', other], 1)).toMatchObject({
      error: { code: 'CONFLICT' },
    });
    const adopted = adoptedSchema.parse(
      await scene.said(['adopt', 'copied', '--yes', '--tree', planned.tree]),
    );
    expect(adopted).toMatchObject({ status: 'adopted', tree: planned.tree });
    const { installId } = adopted;
    const [listed] = (await scene.said(['list'])) as unknown[];
    const by = way === 'on the root' ? 'local' : 'token';
    expect(listed).toMatchObject({ name: 'copied', level: 'verified', installId, by });
    expect(listed).not.toHaveProperty('pending');
    expect(await scene.said(['verify', 'copied'])).toMatchObject({ verdict: 'intact' });
    // The watcher would have told of an edit after this one, and of the marker before it.
    if (session !== undefined) {
      await writeFile(join(root, 'copied/rules/a.md'), 'edited');
      await vi.waitFor(() => expect(events.at(-1)).toMatchObject({ data: { cause: 'edit' } }), 60_000);
      expect(events.map(({ type }) => type)).toEqual(['plugin.adopted', 'plugin.changed']);
    }
    await session?.close();
  });

  it('says on a terminal what prevents it, with what to do, and ends with 1', async () => {
    const scene = await makeScene(way, []);
    const { root, token } = scene.program;
    await mkdir(join(root, 'bare'), { recursive: true });
    const plan = await inProcess(['adopt', 'bare', ...scene.target], { AIRLOCK_TOKEN: token });
    expect([plan.code, plan.stdout]).toEqual([1, expect.stringContaining('prevented')]);
    expect(plan.stdout).toContain('bare cannot be adopted; nothing was changed');
    await copy(root, 'bare');
    const ready = await inProcess(['adopt', 'bare', ...scene.target], { AIRLOCK_TOKEN: token });
    expect([ready.code, ready.stdout]).toEqual([0, expect.stringContaining('Do it with --yes')]);
    const done = await inProcess(['adopt', 'bare', '--yes', ...scene.target], { AIRLOCK_TOKEN: token });
    expect([done.code, done.stdout]).toEqual([
      0,
      expect.stringMatching(/^adopted {2}bare 4\.5\.6 \(2 files/),
    ]);
  });
});
