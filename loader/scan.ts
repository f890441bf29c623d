/** The scan: sends every name in the roots through the gate. */
import type { Layout } from '../shared/format/layout.ts';
import type { Gate, RootAnswers } from './gate.ts';
import { listRoot, mountWarnings } from './listing.ts';
import type { Scan, Shadowed } from './plugin.ts';
import { mapBounded } from './pool.ts';
import type { Settings } from './settings.ts';
import { listDisabled } from './state.ts';
import { readSwaps } from './transition.ts';

/** Plugins that are judged at the same time. */
const AT_ONCE = 16;
/** A listing that is taken while the root changes may overlook a plugin (rule 20), so it is repeated, at most so often. */
const LISTINGS = 3;

type Names = ReadonlyMap<Layout, Set<string>>;

/** Makes a scan that remembers the plugins of the call before. */
export function createScan(settings: Settings, gate: Gate): () => Promise<Scan> {
  const { layouts, signal, clock } = settings;
  let known: Names = new Map();
  return async () => {
    signal?.throwIfAborted();
    const [isDisabled, ...mounted] = await Promise.all([
      listDisabled(layouts),
      ...layouts.map(({ root }) => mountWarnings(root)),
    ]);
    const expected = await expectedNames(layouts, known);
    const listed: Names = new Map(layouts.map((layout) => [layout, new Set<string>()]));
    const passages = new Map<string, RootAnswers>();
    const warnings = new Set<string>();
    const approach = {
      isDisabled,
      expected: (name: string, layout: Layout) => expected.get(layout)?.has(name) === true,
    };
    for (let round = 0; round < LISTINGS; round++) {
      const listings = await Promise.all(
        layouts.map(async (layout) => ({ layout, ...(await listRoot(layout.root, clock.now())) })),
      );
      for (const { layout, names, warning } of listings) {
        names.forEach((name) => listed.get(layout)?.add(name) && expected.get(layout)?.add(name));
        if (warning !== undefined) warnings.add(warning);
      }
      const names = new Set([...expected.values()].flatMap((some) => [...some]));
      const open = [...names].filter((name) => !isThere(passages.get(name)));
      await mapBounded(open, AT_ONCE, async (name) => passages.set(name, await gate(name, approach)));
      const settled = await Promise.all(listings.map(({ isSettled }) => isSettled()));
      if (settled.every(Boolean)) {
        break;
      }
    }
    const found = [...passages.values()].filter(isThere).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const shadowed = found.flatMap((passage) => shadowsOf(passage, layouts, listed));
    known = knownNames(layouts, found, shadowed);
    return {
      admitted: found.flatMap(({ plugin }) => plugin ?? []),
      refused: found.flatMap(({ refusals }) => refusals),
      shadowed,
      warnings: [...warnings, ...mounted.flat()],
    };
  };
}

/** The names to check whatever a listing says: those of the call before, and those that are being swapped. */
async function expectedNames(layouts: readonly Layout[], known: Names): Promise<Names> {
  const each = layouts.map(async (layout) => {
    const swaps = await readSwaps(layout);
    const names = new Set([...(known.get(layout) ?? []), ...(swaps.kind === 'known' ? swaps.names : [])]);
    return [layout, names] as const;
  });
  return new Map(await Promise.all(each));
}

const isThere = (passage: RootAnswers | undefined): passage is RootAnswers =>
  passage !== undefined && (passage.plugin !== undefined || passage.refusals.length > 0);

/** The later roots that also list a name which an earlier root admits. */
function shadowsOf({ name, plugin }: RootAnswers, layouts: readonly Layout[], listed: Names): Shadowed[] {
  if (plugin === undefined) {
    return [];
  }
  const behind = layouts.slice(layouts.findIndex(({ root }) => root === plugin.root) + 1);
  return behind
    .filter((layout) => listed.get(layout)?.has(name))
    .map(({ root }) => ({ name, root, by: plugin.root }));
}

function knownNames(
  layouts: readonly Layout[],
  found: readonly RootAnswers[],
  shadowed: readonly Shadowed[],
): Names {
  const there = [
    ...found.flatMap(({ plugin, refusals }) => (plugin ? [plugin, ...refusals] : refusals)),
    ...shadowed,
  ];
  return new Map(
    layouts.map((layout) => [
      layout,
      new Set(there.filter(({ root }) => root === layout.root).map(({ name }) => name)),
    ]),
  );
}
