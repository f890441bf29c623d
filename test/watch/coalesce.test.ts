/** Who reads late is told, taken together, what somebody who read at once was told, taken together. */
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { coalesceAll } from '../../watch/coalesce.ts';
import { LoadedDiff } from '../../watch/loaded-diff.ts';
import type { WatchEvent } from '../../watch/ports.ts';
import { Queue } from '../../watch/queue.ts';

const PATHS = ['a/SKILL.md', 'b/SKILL.md', 'hook.sh'];

/** A burst: what is written where, or that the plugin goes or comes back; and whether the slow reader reads after it. */
type Burst = {
  writes: { path: number; text: number }[];
  isThere: boolean;
  isLoaded: boolean;
  reads: boolean;
};

const burst: fc.Arbitrary<Burst> = fc.record({
  writes: fc.array(fc.record({ path: fc.nat(PATHS.length - 1), text: fc.nat(2) }), { maxLength: 3 }),
  isThere: fc.boolean().chain((one) => (one ? fc.constant(true) : fc.boolean())),
  isLoaded: fc.boolean().chain((one) => (one ? fc.boolean() : fc.constant(false))),
  reads: fc.boolean(),
});

/** What a reader knows of the runtime: the files that it has, and whether it has to be restarted for others. */
type Belief = { stale: Set<string>; mustRestart: boolean; skills: Set<string> };

function hear({ stale, skills }: Belief, event: WatchEvent): Belief {
  if (event.kind === 'cold') return { stale, skills, mustRestart: true };
  const named = event.reasons.map(({ path }) => path);
  return {
    mustRestart: false,
    stale: event.kind === 'identical' ? stale : new Set([...stale, ...named]),
    skills: event.kind === 'identical' ? skills : new Set([...skills, ...event.skills]),
  };
}

const nothing = (): Belief => ({ stale: new Set(), mustRestart: false, skills: new Set() });

/** The events of bursts, as a plugin under watch gives them. */
function eventsOf(bursts: readonly Burst[]): (WatchEvent | undefined)[] {
  const diff = new LoadedDiff();
  const entry = (path: string, text: number) => ({
    path,
    size: 1,
    mode: '644' as const,
    sha256: `${text}`.repeat(64),
  });
  for (const path of PATHS) diff.set(path, entry(path, 0));
  diff.load();
  let wasThere = true;
  return bursts.map(({ writes, isThere, isLoaded }) => {
    let news = false;
    for (const { path, text } of writes) {
      const name = PATHS[path] ?? '';
      news = diff.set(name, entry(name, text)) || news;
    }
    const turned = isThere !== wasThere;
    wasThere = isThere;
    if (!turned && !(isThere && news)) return undefined;
    const { kind, reasons } = diff.judge(isThere, undefined);
    const skills = diff.skills();
    if (kind !== 'cold' || (isLoaded && isThere)) diff.load();
    return {
      plugin: 'lint',
      kind,
      reasons,
      skills,
      at: 0,
      cause: { by: 'edit' },
      status: isThere ? 'admitted' : 'absent',
      detail: undefined,
      generation: isThere ? 'one' : undefined,
    };
  });
}

test('whoever reads late has in the end to do what the prompt reader has to do, with no skill forgotten', () => {
  fc.assert(
    fc.property(fc.array(burst, { minLength: 1, maxLength: 12 }), (bursts) => {
      let prompt = nothing();
      let late = nothing();
      let last: WatchEvent | undefined;
      let lastRead: WatchEvent | undefined;
      let waiting: readonly WatchEvent[] = [];
      const read = (): void => {
        for (const event of waiting) late = hear(late, event);
        lastRead = waiting.at(-1) ?? lastRead;
        waiting = [];
      };
      let isLoaded = false;
      for (const [i, event] of eventsOf(bursts).entries()) {
        if (event !== undefined) {
          isLoaded = false;
          prompt = hear(prompt, event);
          last = event;
          waiting = coalesceAll(waiting, [event]);
        }
        if (bursts[i]?.reads === true) read();
        if (event !== undefined && bursts[i]?.isLoaded === true && bursts[i]?.isThere) {
          // The runtime has loaded all that lies there: nobody owes it anything of what was told before.
          prompt = nothing();
          late = nothing();
          isLoaded = true;
        }
      }
      expect(waiting.length).toBeLessThanOrEqual(2);
      read();
      // A verdict that is read after the load that ended it is an idle one.
      if (!isLoaded) expect(late.mustRestart).toBe(prompt.mustRestart);
      expect(lastRead?.status).toBe(last?.status);
      expect(lastRead?.generation).toBe(last?.generation);
      if (!prompt.mustRestart) {
        // Of a plugin that came or goes nobody loads single skills.
        for (const path of prompt.stale) expect([...late.stale]).toContain(path);
        for (const skill of prompt.skills) expect([...late.skills]).toContain(skill);
      }
      for (const path of late.stale) expect(PATHS).toContain(path);
    }),
    { numRuns: 2000 },
  );
});

test('a swap and the edit on top of it stay two, behind the hot edits that waited', () => {
  const of = (kind: WatchEvent['kind'], path: string, cause: WatchEvent['cause']): WatchEvent => ({
    plugin: 'lint',
    kind,
    reasons: [{ path, change: 'modified', why: 'it is' }],
    skills: [],
    at: 0,
    cause,
    status: 'admitted',
    detail: undefined,
    generation: 'one',
  });
  const queue = new Queue<readonly WatchEvent[]>(coalesceAll);
  queue.put('lint', [of('skill-content-only', 'a/SKILL.md', { by: 'edit' })]);
  queue.put('lint', [
    of('cold', 'hook.sh', { by: 'swap', installId: 'two' }),
    of('skill-content-only', 'b/SKILL.md', { by: 'edit' }),
  ]);
  queue.end();
  return (async () => {
    const told: (readonly WatchEvent[])[] = [];
    for await (const events of queue.values()) told.push(events);
    expect(told).toMatchObject([
      [
        { kind: 'skill-content-only', reasons: [{ path: 'a/SKILL.md' }] },
        { kind: 'cold', cause: { by: 'swap' }, reasons: [{ path: 'hook.sh' }] },
        { kind: 'skill-content-only', cause: { by: 'edit' }, reasons: [{ path: 'b/SKILL.md' }] },
      ],
    ]);
  })();
});
