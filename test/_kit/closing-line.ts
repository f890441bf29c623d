import type { Reporter, TestModule } from 'vitest/node';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Prints, as the last line of a run and alone on it, `N passed, N failed` (with `, N skipped` where there are any), and
 * before it one line for every skipped test with its reason. What failed outside a test (a file that does not load, an
 * error nobody caught) counts as failed: the line must never look better than the exit code.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts: Counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    const lines: string[] = [];
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) counts.failed += 1;
      }
      for (const test of module.children.allTests()) {
        const result = test.result();
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
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
    lines.push(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
    // On exit, because other reporters may still be printing.
    process.once('exit', () => process.stdout.write(`${lines.join('\n')}\n`));
  }
}
