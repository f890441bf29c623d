/** `airlock history`, through an agent and without one. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import type { PluginHistory } from '../../client/index.ts';
import { lineDigest, nextLine } from '../../shared/format/history.ts';
import { until } from '../_kit/until.ts';
import { WAYS, inProcess, makeScene, settled } from '../_kit/two-ways.ts';

vi.setConfig({ testTimeout: 120_000 });

describe.each(WAYS)('airlock history, %s', (way) => {
  it('shows who did what, and how it ended; and finds a line that was edited', async () => {
    const scene = await makeScene(way);
    const { said, program, target, ids } = scene;
    await said(['rollback', 'lint']);
    await said(['hold', 'lint', '--why', 'audit']);
    for (let i = 0; i < (way === 'on the root' ? 1 : 3); i += 1) await said(['rollback', 'lint'], 1);
    await settled(scene);
    await until(async () => expect((await said(['history'])) as PluginHistory).toMatchObject({ total: 5 }));
    const history = (await said(['history', 'lint'])) as PluginHistory;
    const ops = history.lines.map(({ op, by, outcome }) => [op, by, outcome]);
    const by = history.lines.at(-1)?.by;
    expect(history.lines.at(-1)).toMatchObject({ code: 'HELD' });
    expect(ops).toEqual([
      ['install', expect.any(String), 'done'],
      ['install', expect.any(String), 'done'],
      ['rollback', by, 'done'],
      ['hold', by, 'done'],
      ['rollback', by, 'failed'],
    ]);
    expect(history.lines[1]).toMatchObject({ from: { installId: ids[0] }, to: { installId: ids[1] } });
    const head = history.plugins.items[0]?.head ?? '';
    expect(await said(['history', 'lint', '--limit', '2'])).toMatchObject({
      lines: history.lines.slice(3),
      total: 5,
      plugins: { items: [{ plugin: 'lint', lines: 5, head }] },
    });
    expect(await said(['history', '--verify'])).toMatchObject({
      broken: 0,
      plugins: { items: [{ plugin: 'lint', verdict: 'whole', findings: { total: 0 } }], total: 1 },
    });
    const env = { AIRLOCK_TOKEN: program.token };
    const shown = await inProcess(['history', ...target], env);
    expect(shown.text).toMatch(/^WHEN +WHO +WHAT +PLUGIN +VERSION +HOW IT ENDED\n/);
    expect(shown.text).toMatch(/hold +lint +done \(audit\)\n.*failed: HELD\n5 lines\n$/);
    const file = join(program.root, '.history', 'lint.jsonl');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"rollback"', '"install"'));
    const found = await inProcess(['history', 'lint', '--verify', '--head', head, ...target], env);
    expect([found.code, found.text]).toEqual([1, expect.stringMatching(/^broken +lint: 5 lines/)]);
    expect(found.text).toContain('lint: Line 4 does not fit the line before it');
    expect(found.text).toContain('1 of 1 history is broken');
    expect((await inProcess(['history', '--head', head, ...target], env)).code).toBe(2);
    expect((await inProcess(['history', 'gone', ...target], env)).text).toContain(
      'There is no plugin "gone" here',
    );
    if (way === 'through an agent') await program.stop();
  });

  it('sends a long history whole, the newest line last', async () => {
    const scene = await makeScene(way, [0]);
    const { said, program } = scene;
    await settled(scene);
    const file = join(program.root, '.history', 'lint.jsonl');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    while (lines.length < 700) {
      lines.push(
        nextLine(lines, 'lint', Date.now(), { op: 'hold', by: 'ops', why: 'é'.repeat(250), outcome: 'done' }),
      );
    }
    await writeFile(file, lines.map((line) => `${line}\n`).join(''));
    const whole = (await said(['history', 'lint', '--limit', '1000', '--verify'])) as PluginHistory;
    expect([whole.lines.length, whole.total, whole.broken]).toEqual([700, 700, 0]);
    expect(whole.lines.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
    expect(whole.plugins.items[0]?.head).toBe(lineDigest(lines.at(-1) ?? ''));
    const newest = (await said(['history'])) as PluginHistory;
    expect([newest.lines.length, newest.lines.at(-1)?.seq]).toEqual([100, 700]);
  });
});
