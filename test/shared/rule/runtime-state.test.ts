import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { FileEntry } from '../../../shared/format/tree.ts';
import type { RuntimeState } from '../../../shared/format/state.ts';
import { createIgnore } from '../../../shared/format/tree.ts';
import { readState } from '../../../shared/format/state.ts';
import { classifyLoaded } from '../../../shared/rule/classify.ts';
import { UNKNOWN, basisOf, loadedState, reduce } from '../../../shared/rule/runtime-state.ts';

const HOOK = 'hooks/run.sh';
const SKILL = 'skills/a/SKILL.md';
const PATHS = [HOOK, SKILL] as const;
type Files = Record<(typeof PATHS)[number], string>;
const IGNORE = createIgnore();

const entriesOf = (files: Files): FileEntry[] =>
  PATHS.map((path) => ({ path, size: 1, mode: '644', sha256: `sha256:${files[path].padEnd(64, '0')}` }));

const timeOf = (step: number): string => new Date(Date.UTC(2026, 0, 1) + step * 1000).toISOString();

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('change' as const),
      hook: fc.nat(2),
      skill: fc.nat(2),
      promise: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('edit' as const),
      path: fc.constantFrom(...PATHS),
      isRead: fc.boolean(),
    }),
  },
  fc.record({ op: fc.constant('begin' as const) }),
  fc.record({ op: fc.constant('read' as const) }),
  fc.record({ op: fc.constant('end' as const), isWell: fc.boolean() }),
  fc.record({ op: fc.constant('report' as const) }),
);

/** A runtime that reads what is live while a restart runs or is promised, and what was told of it. */
class Simulation {
  readonly #lists = new Map<string, Files>([['g0', { [HOOK]: '0', [SKILL]: '0' }]]);
  #state = loadedState('g0');
  #live = { generation: 'g0', files: { [HOOK]: '0', [SKILL]: '0' } };
  #real = this.#live;
  /** The versions that were live since the restart began; undefined: none runs. */
  #window: string[] | undefined;
  #hasRead = false;
  /** Paths that were edited in place of what is live: they are looked for when it changes. */
  #drift: string[] = [];
  #steps = 0;

  /** @returns what was wrong, if something was. */
  take(one: typeof step extends fc.Arbitrary<infer T> ? T : never): string | undefined {
    this.#steps += 1;
    switch (one.op) {
      case 'change':
        return (
          this.#change({ [HOOK]: String(one.hook), [SKILL]: String(one.skill) }, one.promise) ?? this.#check()
        );
      case 'edit': {
        const { generation, files } = this.#live;
        const edited = { ...files, [one.path]: `e${this.#steps}` };
        if (this.#real.generation === generation && one.isRead) {
          this.#real = { generation, files: { ...this.#real.files, [one.path]: edited[one.path] } };
        }
        this.#live = { generation, files: edited };
        this.#drift = [...this.#drift, one.path];
        break;
      }
      case 'begin':
        if (this.#window === undefined) {
          this.#window = [this.#live.generation];
          this.#hasRead = false;
          const promised = this.#state.restart === 'promised';
          this.#state = reduce(this.#state, { type: 'restart-began', live: this.#live.generation, promised });
        }
        break;
      case 'read':
        this.#read();
        break;
      case 'end':
        this.#end(one.isWell);
        break;
      case 'report': {
        const { generation } = this.#real;
        const live = this.#live.generation;
        this.#state = reduce(this.#state, { type: 'reported', generation, at: timeOf(this.#steps), live });
        break;
      }
      default:
        return one satisfies never;
    }
    return this.#check();
  }

  /** A restart reads once; one that was promised may come at any time. */
  #read(): void {
    if (this.#window === undefined ? this.#state.restart !== 'none' : !this.#hasRead) {
      this.#hasRead = this.#window !== undefined;
      this.#real = this.#live;
    }
  }

  #end(isWell: boolean): void {
    if (this.#window !== undefined) {
      if (isWell) {
        this.#read();
        const at = timeOf(this.#steps);
        this.#state = reduce(this.#state, { type: 'restart-ended', live: this.#window, at });
      }
      this.#window = undefined;
    }
  }

  #change(files: Files, promise: boolean): string | undefined {
    const generation = `g${this.#steps}`;
    this.#state = this.#seen();
    this.#drift = [];
    const { kind } = classifyLoaded(this.#basis(), entriesOf(files));
    const differing = PATHS.filter((path) => this.#real.files[path] !== files[path]);
    const isWrong = kind === 'identical' ? differing.length > 0 : kind !== 'cold' && differing.includes(HOOK);
    if (kind === 'skill-content-only') {
      // The runtime reports this version, though it has read the skills of it only.
      this.#real = { generation, files: { ...this.#real.files, [SKILL]: files[SKILL] } };
    }
    this.#lists.set(generation, files);
    this.#live = { generation, files };
    this.#window?.push(generation);
    const restart = promise ? 'promised' : 'none';
    this.#state = reduce(this.#state, {
      type: 'live-changed',
      to: generation,
      kind,
      restart,
      runs: this.#window !== undefined && kind === 'cold',
    });
    return isWrong ? `${kind}, though ${differing.join()} differs` : undefined;
  }

  #list = (generation: string): FileEntry[] | undefined => {
    const files = this.#lists.get(generation);
    return files && entriesOf(files);
  };

  #seen(): RuntimeState {
    const { generation } = this.#live;
    return reduce(this.#state, { type: 'edited', generation, paths: this.#drift });
  }

  #basis = () => basisOf(this.#state, this.#list, IGNORE);

  /** Each file that really runs is the one of a candidate, or is marked as edited; what is no skill comes from the same one. */
  #check(): string | undefined {
    const { files } = this.#real;
    const { candidates } = this.#seen();
    const has =
      (path: (typeof PATHS)[number]) =>
      (one: RuntimeState['candidates'][number]): boolean =>
        one.generation === UNKNOWN ||
        one.edited.some((edited) => edited === '' || edited === path) ||
        this.#lists.get(one.generation ?? '')?.[path] === files[path];
    const missing = PATHS.filter((path) => !candidates.some(has(path)));
    return missing.length === 0
      ? undefined
      : `${missing.join()} of ${JSON.stringify(this.#real)} is not among ${JSON.stringify(this.#seen())}`;
  }
}

describe('whatever happens to a runtime', () => {
  it('what it runs is among the candidates, and no change is called hot that is not', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const simulation = new Simulation();
        for (const one of steps) {
          expect(simulation.take(one)).toBeUndefined();
        }
      }),
      { numRuns: 2000 },
    );
  });
});

const g = (generation: string | null, ...edited: string[]) => ({ generation, edited });

describe('a runtime state', () => {
  it('keeps what became live after the reported version, and loses what was before it', () => {
    const state: RuntimeState = { candidates: [g('a'), g('b', HOOK), g('c')], restart: 'promised' };
    const at = timeOf(1);
    expect(reduce(state, { type: 'reported', generation: 'b', at, live: 'c' })).toEqual({
      candidates: [g('b', HOOK), g('c')],
      restart: 'promised',
      reportedAt: at,
    });
    expect(reduce(state, { type: 'reported', generation: 'c', at, live: 'c' })).toMatchObject({
      candidates: [g('c')],
      restart: 'none',
    });
  });

  it('loses nothing to a report that is older than the last one', () => {
    const state: RuntimeState = { candidates: [g('b')], restart: 'none', reportedAt: timeOf(9) };
    expect(reduce(state, { type: 'reported', generation: 'a', at: timeOf(1), live: 'b' })).toEqual({
      candidates: [g('a'), g('b')],
      restart: 'none',
      reportedAt: timeOf(9),
    });
  });

  it('does not tell more versions apart than it can list, and is cold then', () => {
    let state: RuntimeState = { ...loadedState('a'), restart: 'running' };
    for (let n = 0; n < 20; n += 1) {
      state = reduce(state, { type: 'live-changed', to: `v${n}`, kind: 'cold', restart: 'none' });
    }
    const names = state.candidates.map(({ generation }) => generation);
    expect([names.length, names[0], names[1], names.at(-1)]).toEqual([8, 'a', UNKNOWN, 'v19']);
    const list = (name: string) => (name === UNKNOWN ? undefined : entriesOf({ [HOOK]: '0', [SKILL]: '0' }));
    const basis = basisOf(state, list, IGNORE);
    expect(classifyLoaded(basis, entriesOf({ [HOOK]: '0', [SKILL]: '0' })).kind).toBe('cold');
  });

  it.each([
    ['many', Array.from({ length: 21 }, (_, i) => `hooks/${i}`)],
    ['long', [`hooks/${'x'.repeat(9000)}`]],
  ])('marks the whole plugin where %s paths were edited', (_, paths) => {
    const state = reduce(loadedState('a'), { type: 'edited', generation: 'a', paths });
    expect(state.candidates).toEqual([g('a', '')]);
  });

  it.each([
    [{ restarting: true }, { candidates: [g('a', 'x', HOOK), g('b')], restart: 'promised' }],
    [{ restarting: false }, { candidates: [g('a', 'x')], restart: 'none' }],
    [
      { restarting: false, earlier: 'begun' },
      { candidates: [g('a', 'x', HOOK), g('b')], restart: 'running' },
    ],
    [
      { restarting: false, earlier: 'promised' },
      { candidates: [g('a', 'x', HOOK), g('b')], restart: 'promised' },
    ],
  ])('is read from what was written before there was one (%o)', (more, expected) => {
    const at = timeOf(1);
    const operationId = 'operation-1';
    const reasons = { items: [{ path: HOOK, change: 'modified', why: 'its content changed' }], total: 1 };
    const pending = { at, operationId, installId: 'b', against: 'a', edited: ['x'], reasons, ...more };
    const { restarting } = more;
    expect(readState(JSON.stringify({ version: 1, held: 'why', pending }))).toEqual({
      version: 1,
      held: 'why',
      runtime: { ...expected, waiting: { at, operationId, restarting } },
    });
  });
});
