import { describe, expect, it } from 'vitest';

import { painter } from '../../cli/render.ts';
import { changeLine, eventLine } from '../../cli/watch-lines.ts';
import { readEvent } from '../../client/feed.ts';
import type { WatchEvent } from '../../loader/index.ts';
import type { Reason } from '../../shared/format/tree.ts';

const plain = painter(false);
const AT = '2026-05-08T14:15:30.123Z';
const line = (type: string, data: unknown): string =>
  eventLine(readEvent({ bootId: 'boot-1', seq: 1, at: AT, type, data }), plain);
const reason = (path: string, why: string): Reason => ({ path, change: 'modified', why });
const edited = (paths: readonly string[]): Reason[] => paths.map((path) => reason(path, 'it changed'));

const change = {
  plugin: 'lint',
  kind: 'cold',
  action: 'restart',
  restarting: false,
  reasons: { items: edited(['a']), total: 1 },
  cause: 'operation-1',
};

describe('a change that an agent tells', () => {
  it('says that a restart is needed, whether somebody restarts, who caused it, and the first three reasons', () => {
    expect(line('plugin.changed', change)).toBe(
      `${AT}  plugin.changed  lint  needs a restart; nobody restarts it  operation operation-1: a: it changed`,
    );
    const reasons = { items: edited(['a', 'b', 'c', 'd']), total: 250 };
    expect(line('plugin.changed', { ...change, restarting: true, reasons })).toBe(
      `${AT}  plugin.changed  lint  needs a restart; somebody restarts it  operation operation-1: a: it changed; b: it changed; c: it changed; and 247 more`,
    );
    const whole = { items: [reason('', 'no version was live')], total: 1 };
    expect(line('plugin.changed', { ...change, reasons: whole })).toMatch(/: no version was live$/);
  });

  it('says what was no operation of the agent', () => {
    expect(line('plugin.changed', { ...change, cause: 'edit' })).toMatch(
      / {2}edited in place: a: it changed$/,
    );
    expect(line('plugin.changed', { ...change, cause: 'swap' })).toMatch(
      / {2}swapped in by another process: a/,
    );
  });

  it('does not call edited what is gone', () => {
    const reasons = { items: [{ ...reason('', 'the plugin is removed'), change: 'removed' }], total: 1 };
    expect(line('plugin.changed', { ...change, cause: 'edit', reasons })).toMatch(
      / {2}removed: the plugin is removed$/,
    );
    expect(line('plugin.changed', { ...change, reasons })).toMatch(
      / {2}operation operation-1: the plugin is removed$/,
    );
  });

  it('says that it is hot and names the skills, or that nothing changed', () => {
    const hot = { ...change, kind: 'skill-content-only', action: 'hot' };
    const skills = ['skills/a/SKILL.md', 'SKILL.md', 'skills/b/SKILL.md', 'skills/c/SKILL.md'];
    expect(line('plugin.changed', { ...hot, reasons: { items: edited(skills), total: 4 } })).toBe(
      `${AT}  plugin.changed  lint  hot  operation operation-1: skills/a; SKILL.md; skills/b; and 1 more`,
    );
    const none = { ...change, kind: 'identical', action: 'none', reasons: { items: [], total: 0 } };
    expect(line('plugin.changed', none)).toBe(
      `${AT}  plugin.changed  lint  nothing differs from what is loaded  operation operation-1`,
    );
  });
});

it('a snapshot says how many plugins there are, and other events their fields', () => {
  expect(line('snapshot', { plugins: { items: [], total: 1 } })).toBe(
    `${AT}  snapshot  1 plugin; see "airlock list"`,
  );
  expect(line('snapshot', { plugins: { items: [], total: 120 } })).toBe(
    `${AT}  snapshot  120 plugins; see "airlock list"`,
  );
  expect(line('draining', {})).toBe(`${AT}  draining`);
  expect(line('plugin.removed', { operationId: 'o', plugin: 'lint', installId: null, by: 'ci' })).toBe(
    `${AT}  plugin.removed  lint  operationId=o by=ci`,
  );
  // Of a form that this client does not know.
  expect(line('plugin.changed', { plugin: 'lint', kind: 'lukewarm' })).toBe(
    `${AT}  plugin.changed  lint  kind=lukewarm`,
  );
});

it('a change in a root is told in the same words', () => {
  const event: WatchEvent = {
    plugin: 'lint',
    kind: 'cold',
    reasons: edited(['a', 'b', 'c', 'd']),
    skills: [],
    at: 0,
    cause: { by: 'edit' },
    status: 'refused',
    detail: 'no-marker',
    generation: undefined,
  };
  expect(changeLine(event, plain)).toBe(
    'lint  needs a restart (refused, no-marker)  edited in place: a: it changed; b: it changed; c: it changed; and 1 more',
  );
  const removed: Reason = { path: '', change: 'removed', why: 'the plugin is removed' };
  expect(changeLine({ ...event, status: 'absent', detail: undefined, reasons: [removed] }, plain)).toBe(
    'lint  needs a restart (absent)  removed: the plugin is removed',
  );
  const hot: WatchEvent = {
    ...event,
    kind: 'skill-content-only',
    skills: ['', 'skills/a'],
    status: 'admitted',
    detail: undefined,
    cause: { by: 'swap', installId: 'x' },
  };
  expect(changeLine(hot, plain)).toBe('lint  hot  swapped in by x: SKILL.md; skills/a');
});

it('no line carries control characters of a stranger', () => {
  const evil = 'x\u001B[2J\n\u009B\u202E';
  const told = [
    line('plugin.changed', {
      ...change,
      plugin: evil,
      cause: evil,
      reasons: { items: [reason(evil, evil)], total: 1 },
    }),
    line('plugin.changed', {
      ...change,
      kind: 'skill-content-only',
      reasons: { items: [reason(`${evil}/SKILL.md`, '')], total: 1 },
    }),
    line(evil, { plugin: evil, [evil]: evil }),
    changeLine(
      {
        plugin: evil,
        kind: 'cold',
        reasons: [reason(evil, evil)],
        skills: [],
        at: 0,
        cause: { by: 'swap', installId: evil },
        status: 'refused',
        detail: evil,
        generation: undefined,
      },
      plain,
    ),
  ];
  for (const text of told) expect(text).not.toMatch(/[\p{Cc}\u202E]/u);
});
