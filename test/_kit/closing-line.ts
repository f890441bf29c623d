import type { Reporter, TestModule } from 'vitest/node';

import type { Fuzzed } from './fuzz.ts';
import { type Counted, FAMILIES, type FamilyLetter } from './family.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** One line for each family of crash tests, one for each of its canaries. */
function familyLines(counted: readonly Counted[]): string[] {
  const sum = (of: readonly Counted[], key: 'tried' | 'broken'): string =>
    of.reduce((total, one) => total + one[key], 0).toLocaleString('en');
  return (Object.keys(FAMILIES) as FamilyLetter[]).flatMap((letter) => {
    const mine = counted.filter(({ family }) => family === letter);
    const points = mine.filter(({ canary }) => canary === undefined);
    const canaries = [...new Set(mine.flatMap(({ canary }) => canary ?? []))];
    const title = `family ${letter}, ${FAMILIES[letter]}`;
    return [
      ...(points.length === 0
        ? []
        : [`${title}: ${sum(points, 'tried')} points tried, ${sum(points, 'broken')} broke a promise`]),
      ...canaries.map((without) => {
        const ones = mine.filter(({ canary }) => canary === without);
        return `${title}: canary without ${without}: ${sum(ones, 'broken')} of ${sum(ones, 'tried')} broke`;
      }),
    ];
  });
}

/**
 * Prints, as the last line of a run and alone on it, `N passed, N failed` (with `, N skipped` where there are any), and
 * before it one line for every skipped test with its reason, and the families of crash tests. What failed outside a test (a file that does not load, an
 * error nobody caught) counts as failed: the line must never look better than the exit code.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts: Counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    const lines: string[] = [];
    const counted: Counted[] = [];
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) counts.failed += 1;
      }
      for (const test of module.children.allTests()) {
        const result = test.result();
        const meta = test.meta();
        counted.push(...(meta.counted ?? []));
        const fuzzed: Fuzzed | undefined = meta.fuzzed;
        if (fuzzed !== undefined) {
          const { what, cases, findings, seed } = fuzzed;
          lines.push(
            `fuzz, ${what}: ${cases.toLocaleString('en')} cases, ${findings} findings (seed ${seed})`,
          );
        }
        if (result.state === 'passed') counts.passed += 1;
        else if (result.state === 'failed') counts.failed += 1;
        else {
          counts.skipped += 1;
          const reason = result.state === 'skipped' ? result.note : undefined;
          lines.push(
            `skipped: ${module.relativeModuleId} > ${test.fullName}: ${reason ?? 'no reason given'}`,
          );
        }
      }
    }
    if (modules.length === 0 && counts.failed === 0) counts.failed = 1;
    lines.push(...familyLines(counted));
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
    lines.push(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
    // On exit, because other reporters may still be printing.
    process.once('exit', () => process.stdout.write(`${lines.join('\n')}\n`));
  }
}
