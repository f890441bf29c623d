/** The gate: one name, judged over all roots; the first that admits it wins. */
import { refuse } from '../shared/rule/admission.ts';
import type { Layout } from '../shared/format/layout.ts';
import { pluginNameSchema } from '../shared/format/name.ts';
import { examine } from './examine.ts';
import type { Memory } from './memory.ts';
import type { GateAnswer, Plugin, Refusal, Verdict } from './plugin.ts';
import type { Settings } from './settings.ts';
import { type IsDisabled, isDisabled } from './state.ts';
import { BLIND_PAUSES, PAUSES, UNAWAITED_LOOKS, readSwaps } from './transition.ts';

/** What all roots say about a name. */
export type RootAnswers = {
  name: string;
  plugin: Plugin | undefined;
  /** In the order of the roots, up to the one that admits. */
  refusals: Refusal[];
};

type Approach = {
  /** Whether it is worth waiting for the name to come back in that root, where an intent says that it is away. */
  expected: (name: string, layout: Layout) => boolean;
  isDisabled: IsDisabled;
};

export type Gate = (name: string, approach?: Approach) => Promise<RootAnswers>;

export function createGate(settings: Settings, memory: Memory): Gate {
  return async (name, approach = { expected: () => true, isDisabled }) => {
    const refusals: Refusal[] = [];
    let disabled = false;
    for (const layout of settings.layouts) {
      // Who disables a plugin in the workspace does not want the shared one instead.
      disabled ||= await approach.isDisabled(name, layout);
      const subject = { settings, layout, name, disabled };
      const look = (): Promise<Verdict> => examine(subject, memory);
      const verdict = await (approach.expected(name, layout)
        ? patiently(settings, layout, name, look)
        : look());
      if (verdict.kind === 'admitted') {
        return { name, plugin: verdict.plugin, refusals };
      }
      if (verdict.kind === 'refused') {
        refusals.push(verdict.refusal);
      }
    }
    return { name, plugin: undefined, refusals };
  };
}

/** Looks again, for a bounded time, where a plugin is absent but may be in the middle of a swap. */
async function patiently(
  { pause, signal }: Settings,
  layout: Layout,
  name: string,
  look: () => Promise<Verdict>,
): Promise<Verdict> {
  let blind = 0;
  let unawaited = 0;
  let paused = 0;
  for (let millis = PAUSES[0]; millis !== undefined; millis = PAUSES[paused]) {
    const verdict = await look();
    if (verdict.kind !== 'absent') {
      return verdict;
    }
    const swaps = await readSwaps(layout, name);
    blind += swaps.kind === 'unknown' ? 1 : 0;
    const awaited = swaps.kind === 'unknown' ? blind <= BLIND_PAUSES : swaps.names.has(name);
    if (awaited) {
      unawaited = 0;
      paused += 1;
      await pause(millis, signal);
      signal?.throwIfAborted();
      continue;
    }
    // The swap may have ended between the two looks: the directory comes first, its intent goes last. The next swap may
    // have begun by then.
    unawaited += 1;
    if (unawaited === UNAWAITED_LOOKS) {
      return look();
    }
  }
  const verdict = await look();
  const detail = 'It is absent, and its swap did not end within 2 s';
  return verdict.kind === 'absent'
    ? { kind: 'refused', refusal: { ...refuse(name, 'in-transition', detail), root: layout.root } }
    : verdict;
}

/** The gate's answer to a name that anybody may have made up. */
export async function ask(gate: Gate, settings: Settings, name: string): Promise<GateAnswer> {
  settings.signal?.throwIfAborted();
  const [first] = settings.layouts;
  const nothing = (detail: string): GateAnswer => ({
    ...refuse(name, 'not-a-directory', detail),
    hint: 'List the plugins with "airlock list"',
    root: first.root,
  });
  const parsed = pluginNameSchema.safeParse(name);
  if (!parsed.success) {
    const why = parsed.error.issues[0]?.message ?? 'must be a text';
    const detail = `"${name}" is not the name of a plugin: it ${why}`;
    return nothing(detail);
  }
  const { plugin, refusals } = await gate(name);
  if (plugin !== undefined) {
    return { admitted: true, plugin, passedOver: refusals };
  }
  return refusals[0] ?? nothing('There is nothing of that name');
}
