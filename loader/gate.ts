/** The gate: judges one name over all roots. The first root that admits it wins. */
import { refuse } from '../shared/rule/admission.ts';
import type { Layout } from '../shared/format/layout.ts';
import { pluginNameSchema } from '../shared/format/name.ts';
import { examine } from './examine.ts';
import type { Memory } from './memory.ts';
import type { GateAnswer, Plugin, Refusal, Verdict } from './plugin.ts';
import type { Settings } from './settings.ts';
import { type IsDisabled, isDisabled } from './state.ts';
import { BLIND_PAUSES, PAUSES, ABSENT_CHECKS, readSwaps } from './transition.ts';

/** The answers of all roots about a name. */
export type RootAnswers = {
  name: string;
  plugin: Plugin | undefined;
  /** In the order of the roots, up to the one that admits. */
  refusals: Refusal[];
};

type Approach = {
  /** Whether to wait for the name to come back in that root, if an intent says that it is being swapped. */
  expected: (name: string, layout: Layout) => boolean;
  isDisabled: IsDisabled;
};

export type Gate = (name: string, approach?: Approach) => Promise<RootAnswers>;

export function createGate(settings: Settings, memory: Memory): Gate {
  return async (name, approach = { expected: () => true, isDisabled }) => {
    const refusals: Refusal[] = [];
    let disabled = false;
    for (const layout of settings.layouts) {
      // A plugin that is disabled in the workspace's root is not replaced by a shared one.
      disabled ||= await approach.isDisabled(name, layout, memory, settings.clock.now());
      const examined = { settings, layout, name, disabled };
      const examineOnce = (): Promise<Verdict> => examine(examined, memory);
      const verdict = await (approach.expected(name, layout)
        ? waitForSwap(settings, layout, name, examineOnce)
        : examineOnce());
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

/** Examines again, for a bounded time, a plugin that is absent but may be in the middle of a swap. */
async function waitForSwap(
  { pause, signal }: Settings,
  layout: Layout,
  name: string,
  examineOnce: () => Promise<Verdict>,
): Promise<Verdict> {
  let unknownChecks = 0;
  let absentChecks = 0;
  let paused = 0;
  for (let millis = PAUSES[0]; millis !== undefined; millis = PAUSES[paused]) {
    const verdict = await examineOnce();
    if (verdict.kind !== 'absent') {
      return verdict;
    }
    const swaps = await readSwaps(layout, name);
    unknownChecks += swaps.kind === 'unknown' ? 1 : 0;
    const isExpected = swaps.kind === 'unknown' ? unknownChecks <= BLIND_PAUSES : swaps.names.has(name);
    if (isExpected) {
      absentChecks = 0;
      paused += 1;
      await pause(millis, signal);
      signal?.throwIfAborted();
      continue;
    }
    // The swap may have ended between the two reads: first the directory appears, then its intent is removed. By then the
    // next swap may have begun.
    absentChecks += 1;
    if (absentChecks === ABSENT_CHECKS) {
      return examineOnce();
    }
  }
  const verdict = await examineOnce();
  const detail = 'It is absent, and its swap did not end within 2 s';
  return verdict.kind === 'absent'
    ? { kind: 'refused', refusal: { ...refuse(name, 'in-transition', detail), root: layout.root } }
    : verdict;
}

/** The gate's answer to any text as a name. */
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
