/** The status page, made of facts without an agent: what it says, and that no text of a plugin becomes markup. */
import { describe, expect, it } from 'vitest';

import { Activity } from '../../agent/page/activity.ts';
import type { Overview, PageFacts, PluginOverview } from '../../agent/page/facts.ts';
import { html } from '../../agent/page/html.ts';
import { pageOf } from '../../agent/page/page.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { Fault } from '../../shared/api/fault.ts';

const NOW = Date.parse('2026-11-30T12:00:00Z');

const plugin = (changes: Partial<PluginOverview>): PluginOverview => ({
  name: 'lint',
  status: 'admitted',
  level: 'verified',
  reason: undefined,
  version: '1.0.0',
  description: undefined,
  installedAt: '2026-11-30T11:00:00.123Z',
  by: 'ci',
  notes: [],
  ...changes,
});

const overviewOf = (items: PluginOverview[], changes: Partial<Overview> = {}): Overview => ({
  plugins: { admitted: items.length, refused: 0, pending: 0, promised: 0, drifted: 0 },
  troubles: { items: [], total: 0 },
  list: { items, total: items.length },
  ...changes,
});

const factsOf = (changes: Partial<PageFacts> = {}): PageFacts => ({
  now: new Date(NOW),
  about: { agent: '1.2.3', workspace: 'ws-17', startedAt: '2026-11-30T10:00:00.000Z' },
  root: '/configs/plugins',
  running: [],
  overview: { value: overviewOf([plugin({})]), why: undefined, age: 100 },
  readiness: { status: 'ok', checks: [{ check: 'root', status: 'pass' }] },
  activity: new Activity(() => NOW),
  ...changes,
});

/** What a reader sees, roughly: without tags, and with one space for each white space. */
const textOf = (facts: PageFacts): string =>
  pageOf(facts)
    .replace(/<style>.*<\/style>|<script>.*<\/script>/gs, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(' ,', ',');

const progress = (changes: object): EventBody => ({
  type: 'install.progress',
  data: {
    operationId: 'op-1',
    plugin: 'lint',
    step: 'receive',
    received: 512,
    total: 2048,
    entries: 3,
    ...changes,
  },
});

const changed = (changes: object): EventBody => ({
  type: 'plugin.changed',
  data: {
    plugin: 'lint',
    kind: 'cold',
    action: 'restart',
    restarting: false,
    reasons: { items: [{ path: 'hooks/run.sh', change: 'modified', why: 'its content changed' }], total: 3 },
    cause: 'op-1',
    ...changes,
  },
});

describe('a value on the page', () => {
  it.each([
    ['<script>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;'],
    [`" onload='x' &amp;`, '&quot; onload=&#39;x&#39; &amp;amp;'],
    ['a\n\t b', 'a b'],
    ['\u0000\u001B[31m\u202Etxt', '\uFFFD\uFFFD[31m\uFFFDtxt'],
    ['x'.repeat(500), `${'x'.repeat(400)}…`],
  ])('is text only: %j', (given, expected) => {
    expect(html`<p title="${given}">${[given, undefined]}</p>`.text).toBe(
      `<p title="${expected}">${expected}</p>`,
    );
  });

  it('stays text when it stands in markup that is put together', () => {
    const inner = html`<b>${'<i>'}</b>`;
    expect(html`${[inner, ' & ', 3]}`.text).toBe('<b>&lt;i&gt;</b> &amp; 3');
  });
});

describe('the page', () => {
  it('holds no markup of a plugin author, wherever he puts it', () => {
    const evil = `</script></style><script>alert(1)</script><img src=x onerror=alert(1)>"'><a href=javascript:x>`;
    const activity = new Activity(() => NOW);
    activity.hear(progress({ operationId: evil, plugin: evil }));
    activity.hear(changed({ plugin: evil, reasons: { items: [{ path: evil, why: evil }], total: 1 } }));
    const error = { ...new Fault('ARCHIVE_PATH', evil, { hint: evil }).toData(), title: evil };
    activity.hear({ type: 'install.failed', data: { operationId: evil, plugin: evil, error } });
    activity.hear({
      type: 'install.complete',
      data: {
        operationId: evil,
        plugin: evil,
        status: 'installed',
        installId: evil,
        version: evil,
        by: evil,
      },
    });
    const trouble = { plugin: evil, at: evil, operationId: evil, what: evil, todo: `"airlock ${evil}"` };
    const all = { name: evil, version: evil, description: evil, installedAt: evil, by: evil, notes: [evil] };
    const page = pageOf(
      factsOf({
        about: { agent: evil, workspace: evil, startedAt: evil, watch: { mode: 'on', notices: [evil] } },
        root: evil,
        running: [{ plugin: evil, operationId: evil }],
        overview: {
          value: overviewOf([plugin(all)], { troubles: { items: [trouble], total: 1 } }),
          why: evil,
          age: 0,
        },
        readiness: {
          status: 'not ok',
          checks: [{ check: 'root', status: 'fail', detail: evil, hint: evil }],
        },
        activity,
      }),
    );
    const harmless = pageOf(factsOf({ activity, running: [{ plugin: 'lint', operationId: 'op-1' }] }));
    expect(page).not.toContain('<img');
    expect(page).not.toContain('<a ');
    expect(page.match(/<script/g)).toHaveLength(1);
    expect(page.match(/<style/g)).toHaveLength(1);
    expect(harmless.match(/<script/g)).toHaveLength(1);
    // In every tag, the names of attributes are its own.
    const attributes = [...page.matchAll(/<[a-z0-9]+((?:\s+[a-z-]+(?:="[^"]*")?)*)\s*\/?>/g)]
      .flatMap(([, words = '']) => [...words.matchAll(/\s([a-z-]+)(?:=|(?=\s|$))/g)])
      .map(([, name = '']) => name);
    expect(attributes.filter((name) => name.startsWith('on') || name === 'src')).toEqual([]);
  });

  it('has a bounded size, however much there is', () => {
    const much = 'x'.repeat(100_000);
    const activity = new Activity(() => NOW);
    for (let i = 0; i < 500; i += 1) {
      activity.hear(progress({ operationId: `op-${i}`, plugin: much }));
      activity.hear(changed({ plugin: much }));
    }
    expect([activity.progress.size, activity.told.length]).toEqual([100, 20]);
    const running = Array.from({ length: 500 }, (_, i) => ({ plugin: much, operationId: `op-${i}` }));
    const items = Array.from({ length: 100 }, () =>
      plugin({ name: much, description: much, version: much, by: much, notes: [much] }),
    );
    const overview = { value: overviewOf(items), why: undefined, age: 0 };
    expect(pageOf(factsOf({ activity, running, overview })).length).toBeLessThan(500_000);
  });

  it('says that nobody has to act, and which plugins there are', () => {
    const text = textOf(factsOf());
    expect(text).toContain('No operator is needed');
    expect(text).toContain('Workspace ws-17, root /configs/plugins');
    expect(text).toContain('1 admitted, 0 refused');
    expect(text).toMatch(/lint 1\.0\.0 verified 2026-11-30 11:00:00 by ci/);
    expect(pageOf(factsOf())).toMatch(/<section id="running" +hidden>/);
  });

  it('says how far an install is, by its steps and bytes', () => {
    const activity = new Activity(() => NOW);
    activity.hear(progress({}));
    activity.hear(progress({ received: 2048, millis: 1500 }));
    const running = [
      { plugin: 'lint', operationId: 'op-1' },
      { plugin: 'other', operationId: 'op-2' },
    ];
    const text = textOf(factsOf({ running, activity }));
    expect(text).toContain('2.0 KiB of 2.0 KiB, 3 entries receive 1.5 s stage validate');
    expect(text).toContain('other operation op-2 It reports no steps, or waits for its turn.');
    expect(pageOf(factsOf({ running, activity }))).toMatch(/class="now" aria-current="step">\s*stage/);
  });

  it('says of an install that is tried again how far it is now', () => {
    const activity = new Activity(() => NOW);
    activity.hear(progress({ received: 2048, millis: 1500 }));
    activity.hear(progress({ step: 'validate', received: 2048, millis: 3 }));
    activity.hear(progress({ received: 512 }));
    expect(activity.progress.get('op-1')).toMatchObject({ received: 512, done: new Map() });
  });

  it('says what has happened and what it means for the runtime, the latest first', () => {
    const activity = new Activity(() => NOW);
    activity.hear(changed({}));
    activity.hear(changed({ action: 'none', kind: 'identical' }));
    activity.hear(changed({ action: 'hot', kind: 'skill-content-only', cause: 'edit' }));
    activity.hear({ type: 'draining', data: {} });
    expect(activity.told.map(({ text }) => text)).toEqual([
      'Edited by hand. Verdict skill-content-only (hooks/run.sh: its content changed and 2 more)',
      'Verdict cold (hooks/run.sh: its content changed and 2 more): it waits for a restart of the runtime',
    ]);
  });

  it('says what an operator has to do, with the commands marked', () => {
    const troubles = {
      items: [
        {
          plugin: 'lint',
          at: '2026-11-30T11:00:00Z',
          operationId: 'op-9',
          what: 'It is torn',
          todo: 'Run "airlock recover"',
        },
      ],
      total: 2,
    };
    const facts = factsOf({ overview: { value: overviewOf([], { troubles }), why: undefined, age: 0 } });
    expect(textOf(facts)).toContain('An operator is needed for 2 plugins');
    expect(textOf(facts)).toContain(
      'lint: It is torn What to do: Run airlock recover 2026-11-30 11:00:00, operation op-9',
    );
    expect(textOf(facts)).toContain('And 1 more: airlock status');
    expect(pageOf(facts)).toContain('<code>airlock recover</code>');
  });

  it('says that an operator is needed if the agent can install nothing, or if the disk says nothing', () => {
    const checks = [
      { check: 'root', status: 'fail', detail: 'The root is full', hint: 'Free some space' } as const,
    ];
    expect(textOf(factsOf({ readiness: { status: 'not ok', checks } }))).toMatch(
      /An operator is needed: The root is full.*What to do: Free some space/,
    );
    const blind = factsOf({ overview: { value: undefined, why: undefined, age: 0 } });
    expect(textOf(blind)).toContain('The plugins are not known: the disk does not answer yet');
    const old = factsOf({ overview: { value: overviewOf([plugin({})]), why: undefined, age: 60_000 } });
    expect(textOf(old)).toContain('1 admitted, 0 refused, 60.0 s ago');
  });
});
