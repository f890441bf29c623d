/** Which of what was not synced a power cut takes: what is always tried, and chance. */
import { pick } from './chance.ts';
import type { Fate, Op, Step, Traced } from './losing-image.ts';

export const byIndex =
  (fates: readonly Fate[]) =>
  (index: number): Fate =>
    fates[index] ?? 'lost';

/** The operations that are not durable, in order. */
const pendingOf = (traced: readonly Traced[]): Op[] =>
  traced.filter(({ needs }) => needs.size > 0).map(({ op }) => op);

const DATA: readonly Fate[] = ['kept', 'zeros', 'half', 'lost'];
/** Up to so many, each one is lost alone and kept alone. */
const FEW = 8;
const ODDS = [0.2, 0.5, 0.8];

export function randomFates(traced: readonly Traced[], chance: () => number): Fate[] {
  const odds = ODDS[pick(chance, ODDS.length)] ?? 0.5;
  return pendingOf(traced).map((op) => {
    if (op.do === 'write') {
      return DATA[pick(chance, DATA.length)] ?? 'lost';
    }
    return chance() < odds ? 'kept' : 'lost';
  });
}

/**
 * All lost, all kept, the names without the data, each single one lost and kept, the first so many kept (as a journal
 * does it), and at random.
 */
export function subsets(traced: readonly Traced[], chance: () => number, random: number): Fate[][] {
  const pending = pendingOf(traced);
  const all = (fateOf: (op: Op, index: number) => Fate): Fate[] => pending.map(fateOf);
  const some =
    pending.length <= FEW
      ? pending.map((_op, index) => index)
      : Array.from({ length: random }, () => pick(chance, pending.length));
  const chosen = [
    all(() => 'lost'),
    all(() => 'kept'),
    all((op) => (op.do === 'write' ? 'lost' : 'kept')),
    all((op) => (op.do === 'write' ? 'zeros' : 'kept')),
    ...some.map((single) => all((_op, index) => (index === single ? 'lost' : 'kept'))),
    ...some.map((single) => all((_op, index) => (index === single ? 'kept' : 'lost'))),
    ...some.map((end) => all((_op, index) => (index < end ? 'kept' : 'lost'))),
    ...Array.from({ length: pending.length > 1 ? random : 0 }, () => randomFates(traced, chance)),
  ];
  const different = new Map(chosen.map((fates) => [fates.join(' '), fates]));
  return [...different.values()];
}

/** A step in a few words. */
export function stepName(step: Step): string {
  switch (step.do) {
    case 'make':
      return `make ${step.kind} ${step.at.name}`;
    case 'remove':
      return `remove ${step.at.name}`;
    case 'rename':
      return `rename ${step.from.name} to ${step.to.name}`;
    case 'exchange':
      return `exchange ${step.a.name} and ${step.b.name}`;
    case 'write':
    case 'own':
    case 'sync':
      return `${step.do} ${step.ino}`;
    default:
      return step satisfies never;
  }
}

const WORDS_MAX = 600;

/** What became of what was not synced, in words. */
export function inWords(traced: readonly Traced[], fates: readonly Fate[]): string {
  const names = pendingOf(traced).map((op, index) => `${stepName(op)}: ${byIndex(fates)(index)}`);
  const text = names.join(', ') || 'all was synced';
  return text.length > WORDS_MAX ? `${text.slice(0, WORDS_MAX)} …` : text;
}
