import { describe, expect, it } from 'vitest';

import { Output } from '../../cli/output.ts';
import { bar, bytes, duration, faultLines, painter, replacedText, safe, table } from '../../cli/render.ts';
import { exitCodeOf } from '../../cli/command.ts';
import { run } from '../../cli/run.ts';
import { Fault, faultCodes } from '../../shared/api/fault.ts';

const plain = painter(false);

function sink(isTTY: boolean): {
  text: string;
  isTTY: boolean;
  columns: number;
  write: (text: string) => void;
} {
  const made = {
    text: '',
    isTTY,
    columns: 60,
    write: (text: string) => {
      made.text += text;
    },
  };
  return made;
}

it('a replaced version is named, safe to print', () => {
  expect(replacedText({ replacedVersion: '1.2.0\u001B[2J' })).toBe(', replaced 1.2.0\uFFFD[2J');
  expect([replacedText({ replacedVersion: null }), replacedText({})]).toEqual(['', '']);
});

describe('text for people', () => {
  it('carries no control or direction characters of a stranger', () => {
    expect(safe('a\u001B[31mb\u0007\u202Ec\nd\u009Be')).toBe(
      'a\u{FFFD}[31mb\u{FFFD}\u{FFFD}c\u{FFFD}d\u{FFFD}e',
    );
    const rows = table(['NAME'], [['x\u001B]0;title\u0007']], plain);
    expect(rows).not.toContain('\u001B');
    expect(rows).not.toContain('\u0007');
    const fault = new Fault('ARCHIVE_PATH', 'bad \u001B[2J', {
      violations: [{ path: '\u001B[1A', rule: 15, code: 'ARCHIVE_PATH', what: 'x' }],
    });
    expect(faultLines(fault, plain).join('')).not.toContain('\u001B');
  });

  it('says sizes and times in units that can be read', () => {
    expect([0, 1, 1023, 1024, 1536, 117_000_000].map(bytes)).toEqual([
      '0 B',
      '1 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '111.6 MiB',
    ]);
    expect([3.4, 999, 1234].map(duration)).toEqual(['3 ms', '999 ms', '1.2 s']);
  });

  it('lists violations one a line, and how many more there are', () => {
    const violations = Array.from({ length: 120 }, (_, i) => ({
      path: `p${i}`,
      rule: 1,
      code: 'ARCHIVE_PATH',
      what: 'w',
    }));
    const lines = faultLines(new Fault('ARCHIVE_PATH', 'Refused', { violations, total: 500 }), plain);
    expect(lines).toHaveLength(2 + 100 + 1);
    expect(lines.at(-1)).toContain('400 more');
  });

  it('draws a bar that fits the terminal', () => {
    expect(bar(0, 0, 60)).toContain('100 %');
    for (const done of [0, 50, 100, 200]) {
      expect(bar(done, 100, 60).length).toBeLessThanOrEqual(60);
    }
  });
});

describe('the output of a command', () => {
  it('takes the bar away before a line of text', () => {
    const terminal = sink(true);
    const output = new Output(terminal, terminal, false, true);
    output.progress(1, 2);
    output.text('done');
    expect(terminal.text.endsWith('\r\u001B[Kdone\n')).toBe(true);
  });

  it('is text and colour on a terminal, one JSON document where it is piped or asked for', () => {
    const terminal = sink(true);
    new Output(terminal, sink(true), false, false).result({ a: 1 }, () => 'for people');
    expect(terminal.text).toBe('for people\n');
    for (const [out, json] of [[sink(false), false] as const, [sink(true), true] as const]) {
      new Output(out, sink(true), json, false).result({ a: 1 }, () => 'for people');
      expect(out.text).toBe('{"a":1}\n');
    }
  });

  it('draws progress on a terminal only, and clears it before the next line', () => {
    const error = sink(true);
    const output = new Output(sink(true), error, false, true);
    output.progress(1, 2);
    output.note('a remark');
    expect(error.text).toContain('50 %');
    expect(error.text.endsWith('\r\u001B[Ka remark\n')).toBe(true);
    const piped = sink(false);
    new Output(sink(false), piped, false, true).progress(1, 2);
    expect(piped.text).toBe('');
  });
});

describe('exit codes', () => {
  const signal = new AbortController().signal;

  it('are 1 for whatever is refused, and 2, 3, 4 for usage, unreachable and unauthenticated', () => {
    const codes = Object.fromEntries(
      faultCodes.map((code) => [code, exitCodeOf(new Fault(code, 'x'), signal)]),
    );
    expect(codes).toMatchObject({
      INVALID_PARAMS: 2,
      UNREACHABLE: 3,
      UNAUTHENTICATED: 4,
      FORBIDDEN: 4,
      CONFLICT: 1,
    });
    expect(new Set(Object.values(codes))).toEqual(new Set([1, 2, 3, 4]));
  });

  it('are 130 after an interrupt', () => {
    expect(exitCodeOf(new Fault('CANCELLED', 'x'), AbortSignal.abort())).toBe(130);
  });

  it('come with the fault as JSON on standard output where that was asked for', async () => {
    const out = sink(false);
    const error = sink(false);
    const dependencies = { env: {}, out, error, version: '1.2.3', self: new URL('file:///x'), signal };
    expect(await run({ ...dependencies, words: ['nothing', '--json'] })).toBe(2);
    expect(JSON.parse(out.text)).toMatchObject({ error: { code: 'INVALID_PARAMS' } });
    expect(error.text).toContain('There is no command "nothing"');
  });
});

describe('the words of other tools', () => {
  const { signal } = new AbortController();
  const ran = async (...words: string[]): Promise<{ code: number; text: string }> => {
    const out = sink(false);
    const dependencies = { env: {}, out, error: out, version: '1.2.3', self: new URL('file:///x'), signal };
    const code = await run({ ...dependencies, words });
    return { code, text: out.text };
  };

  it.each([
    ['install', 'push'],
    ['add', 'push'],
    ['remove', 'uninstall'],
    ['rm', 'uninstall'],
    ['delete', 'uninstall'],
    ['ls', 'list'],
  ])('"%s" is told to be "%s"', async (word, meant) => {
    expect(await ran(word, 'x')).toEqual({
      code: 2,
      text: expect.stringContaining(`did you mean "${meant}"`),
    });
  });

  it('"help push" is the help of push, and "version" and "-v" are the version', async () => {
    expect(await ran('help', 'push')).toEqual(await ran('push', '--help'));
    expect(await ran('help')).toEqual(await ran('--help'));
    for (const word of ['version', '-v']) expect(await ran(word)).toEqual({ code: 0, text: '1.2.3\n' });
    expect((await ran('help', 'pusch')).text).toContain('did you mean "push"');
  });
});
