import { rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { authenticate, tokenFromVariable, tokensFromFile } from '../../agent/transport/auth.ts';
import { Tokens } from '../../agent/transport/tokens.ts';
import { Fault } from '../../shared/api/fault.ts';
import { scratch } from '../_kit/agent.ts';
import { faultOf as rejection } from '../_kit/scene.ts';

const A = 'a'.repeat(32);
const B = `${'b'.repeat(40)}-._~+/=`;
const C = 'c'.repeat(64);

function faultOf(call: () => unknown): Fault {
  try {
    call();
  } catch (error) {
    if (error instanceof Fault) {
      return error;
    }
    throw error;
  }
  throw new Error('There was no fault');
}

describe('a bearer', () => {
  const tokens = tokensFromFile(`write ${A} platform\nread ${B} a dashboard\n`);

  it('is who bears one of the tokens, with its scope and label', () => {
    expect(authenticate(`Bearer ${A}`, tokens)).toMatchObject({ scope: 'write', label: 'platform' });
    expect(authenticate(`Bearer ${B}`, tokens)).toMatchObject({ scope: 'read', label: 'a dashboard' });
    expect(authenticate(`bearer ${A}`, tokens)?.label).toBe('platform');
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    A,
    `Basic ${A}`,
    `Bearer  ${A}`,
    `Bearer ${A} `,
    `Bearer ${A}\n`,
    `Bearer ${A.slice(1)}`,
    `Bearer ${A}a`,
    `Bearer ${A} ${B}`,
    `Bearer ${A},${B}`,
    `Bearer ${A.toUpperCase()}`,
    `Bearer ${C}`,
    `Bearer ${'ä'.repeat(32)}`,
    `Bearer ${'x'.repeat(100_000)}`,
  ])('is nobody with the header %j', (header) => {
    expect(authenticate(header, tokens)).toBeUndefined();
  });

  it('is nobody where there are no tokens, also without a header', () => {
    expect(authenticate(undefined, [])).toBeUndefined();
    expect(authenticate('Bearer ', [])).toBeUndefined();
  });

  it('is compared by digests of one length, whatever the length of what is given', () => {
    for (const { digest } of tokens) {
      expect(digest).toHaveLength(32);
      expect(digest.includes(A)).toBe(false);
    }
  });
});

describe('the token of the variable', () => {
  it('may write', () => {
    expect(tokenFromVariable(A)).toMatchObject({ scope: 'write', label: 'token' });
  });

  it.each(['', 'a', 'a'.repeat(31), `${'a'.repeat(32)} `, `${'a'.repeat(20)} ${'a'.repeat(20)}`, `${A}\n`])(
    'is refused if it is %j, which is not repeated',
    (token) => {
      const { code, message, hint } = faultOf(() => tokenFromVariable(token));
      expect(code).toBe('INVALID_PARAMS');
      if (token.length > 1) {
        expect(`${message}${hint}`).not.toContain(token.trim());
      }
    },
  );
});

describe('the lines of a token file', () => {
  it('may be several, with comments, empty lines, tabs and the line ends of Windows', () => {
    const text = `# who may what\r\n\r\nwrite\t${A}\r\n   read   ${B}   two   words  \n\n`;
    expect(tokensFromFile(text)).toMatchObject([
      { scope: 'write', label: 'line 3' },
      { scope: 'read', label: 'two words' },
    ]);
  });

  it.each([
    ['a scope that is none', `admin ${C}`],
    ['no scope', C],
    ['a scope in capitals', `WRITE ${C}`],
    ['no token', 'write'],
    ['a short token', `write ${C.slice(0, 31)}`],
    ['token and scope exchanged', `${C} write`],
  ])('that hold %s are named by number and never repeated', (_, line) => {
    const { code, message, hint } = faultOf(() => tokensFromFile(`write ${A} first\n${line}\nread ${B}`));
    expect(code).toBe('INVALID_PARAMS');
    expect(message).toContain('Line 2');
    expect(`${message} ${hint}`).not.toMatch(/aaaa|bbbb|cccc/);
  });

  it('must hold at least one token', () => {
    for (const text of ['', '\n\n']) {
      expect(faultOf(() => tokensFromFile(text)).message).toContain('is empty');
    }
  });

  it('may say that there is none', () => {
    expect(tokensFromFile('# nobody\n')).toEqual([]);
  });
});

type Place = { file: string; complaints: Fault[]; open(variable?: string): Promise<Tokens> };

async function makePlace(text: string): Promise<Place> {
  const file = join(await scratch(), 'tokens');
  await writeFile(file, text);
  const complaints: Fault[] = [];
  return {
    file,
    complaints,
    open: (variable) => Tokens.open(variable, file, (fault) => complaints.push(fault)),
  };
}

async function labelsOf(tokens: Tokens, ...asked: string[]): Promise<(string | undefined)[]> {
  await tokens.refresh();
  return asked.map((token) => tokens.authenticate(`Bearer ${token}`)?.caller.label);
}

describe('the token file', () => {
  it('may begin with a byte order mark, and is not UTF-16', async () => {
    const { file, open } = await makePlace(`\uFEFFwrite ${A} platform\n`);
    expect(await labelsOf(await open(undefined), A)).toEqual(['platform']);
    await writeFile(file, Buffer.from(`\uFEFFwrite ${A} platform\n`, 'utf16le'));
    expect((await rejection(open(undefined))).message).toContain('UTF-16');
  });

  it('is read again when it is written over, so that tokens rotate without a gap', async () => {
    const { file, open } = await makePlace(`write ${A} old\n`);
    const tokens = await open();
    expect(await labelsOf(tokens, A)).toEqual(['old']);
    await writeFile(file, `write ${A} old\nwrite ${C} new\n`);
    expect(await labelsOf(tokens, A, C)).toEqual(['old', 'new']);
    await writeFile(file, `write ${C} new\n`);
    expect(await labelsOf(tokens, A, C)).toEqual([undefined, 'new']);
  });

  it('is read again when another is renamed over it, though size and time are the same', async () => {
    const { file, open } = await makePlace(`write ${A} x\n`);
    const tokens = await open();
    const time = new Date('2026-01-01T00:00:00Z');
    await utimes(file, time, time);
    expect(await labelsOf(tokens, A)).toEqual(['x']);
    await writeFile(`${file}.new`, `write ${'d'.repeat(32)} x\n`);
    await utimes(`${file}.new`, time, time);
    await rename(`${file}.new`, file);
    expect(await labelsOf(tokens, A, 'd'.repeat(32))).toEqual([undefined, 'x']);
  });

  it('that is broken leaves the tokens before valid, is complained of once, and heals', async () => {
    const { file, open, complaints } = await makePlace(`write ${A} old\n`);
    const tokens = await open();
    await writeFile(file, `write ${C} new\nwrit`);
    expect(await labelsOf(tokens, A, C, A)).toEqual(['old', undefined, 'old']);
    expect(complaints.map(({ message }) => message)).toEqual([
      'Line 2 of the token file is not "read|write <token> [label]"',
    ]);
    await writeFile(file, `write ${C} new\n`);
    expect(await labelsOf(tokens, A, C)).toEqual([undefined, 'new']);
  });

  // Was a bug: the second broken content was told to nobody.
  it('that is broken in another way afterwards is complained of again', async () => {
    const { file, open, complaints } = await makePlace(`write ${A} old\n`);
    const tokens = await open();
    for (const text of ['writ', 'write', 'write']) {
      await writeFile(file, text);
      expect(await labelsOf(tokens, A)).toEqual(['old']);
    }
    expect(complaints.map(({ message }) => message)).toEqual(
      Array(2).fill('Line 1 of the token file is not "read|write <token> [label]"'),
    );
  });

  it('that is emptied or gone for a moment locks nobody out', async () => {
    const { file, open, complaints } = await makePlace(`write ${A} old\n`);
    const tokens = await open();
    await writeFile(file, '');
    expect(await labelsOf(tokens, A)).toEqual(['old']);
    await rm(file);
    expect(await labelsOf(tokens, A)).toEqual(['old']);
    expect(complaints).toHaveLength(2);
    await writeFile(file, `write ${C} new\n`);
    expect(await labelsOf(tokens, C)).toEqual(['new']);
  });

  it('is looked at once more for who asks while it is looked at: what he has written counts', async () => {
    const { file, open } = await makePlace(`write ${A} old\n`);
    const tokens = await open();
    const first = tokens.refresh();
    await writeFile(file, `write ${C} new\n`);
    const others = [tokens.refresh(), tokens.refresh()];
    await Promise.all([first, ...others]);
    const labels = [A, C].map((token) => tokens.authenticate(`Bearer ${token}`)?.caller.label);
    expect(labels).toEqual([undefined, 'new']);
  });

  it('that holds comments alone revokes all that it held, and this is said once', async () => {
    const { file, open, complaints } = await makePlace(`write ${A} old\n`);
    const tokens = await open();
    await writeFile(file, '# nobody for now\n');
    expect(await labelsOf(tokens, A, A)).toEqual([undefined, undefined]);
    expect(complaints.map(({ message }) => message)).toEqual([
      'The token file holds no token, so nobody is let in',
    ]);
  });

  it('stands beside the variable', async () => {
    const { open } = await makePlace(`read ${B} reader\n`);
    const tokens = await open(A);
    expect(tokens.authenticate(`Bearer ${A}`)?.caller).toEqual({ scope: 'write', label: 'token' });
    expect(tokens.authenticate(`Bearer ${B}`)?.caller).toEqual({ scope: 'read', label: 'reader' });
  });

  it('must be there and whole at the start, and some token must be configured', async () => {
    const { file } = await makePlace('write short\n');
    const complain = (): void => undefined;
    expect((await rejection(Tokens.open(undefined, file, complain))).message).toContain('Line 1');
    expect((await rejection(Tokens.open(A, `${file}.no`, complain))).message).toContain('cannot be read');
    for (const variable of [undefined, '']) {
      expect((await rejection(Tokens.open(variable, undefined, complain))).message).toContain('No token');
    }
  });
});
