/** Bearer tokens, their scopes and labels. Pure: another file reads the token file. */
import { createHash, timingSafeEqual } from 'node:crypto';

import { Fault } from '../../shared/api/fault.ts';

export type Scope = 'read' | 'write';
/** A token, kept only as its digest. The label is the `by` of markers and logs. */
export type Token = { digest: Buffer; scope: Scope; label: string };
/** The client on the other side of a connection. */
export type Caller = { scope: Scope; label: string };
/** An admitted caller, and whether it would still be admitted. */
export type Known = { caller: Caller; isValid(): boolean };

const TOKEN_MIN_LENGTH = 32;
const digestOf = (token: string): Buffer => createHash('sha256').update(token, 'utf8').digest();

/** The token of `AIRLOCK_TOKEN`, with scope `write`. @throws Fault INVALID_PARAMS if it is too short. */
export function tokenFromVariable(token: string): Token {
  if (token.length < TOKEN_MIN_LENGTH || /\s/.test(token)) {
    throw new Fault(
      'INVALID_PARAMS',
      `AIRLOCK_TOKEN must be at least ${TOKEN_MIN_LENGTH} characters without spaces`,
      {
        hint: 'Make one with "airlock token"',
      },
    );
  }
  return { digest: digestOf(token), scope: 'write', label: 'token' };
}

/**
 * The tokens of a file. A line is `read|write <token> [label]`; empty lines and those that begin with `#` are ignored.
 * Several lines are several valid tokens, so that a token can be replaced without a gap.
 *
 * @returns none for a file with only comments, which revokes all its tokens.
 * @throws Fault INVALID_PARAMS that names the line, never its content.
 */
export function tokensFromFile(text: string): Token[] {
  if (text.trim() === '') {
    // A writer often empties a file first, which must lock nobody out.
    throw new Fault('INVALID_PARAMS', 'The token file is empty', {
      hint: 'Make a token with "airlock token"',
    });
  }
  return text.split(/\r?\n/).flatMap((line, i): Token[] => {
    if (line.trim() === '' || line.startsWith('#')) {
      return [];
    }
    const [scope, token = '', ...label] = line.trim().split(/\s+/);
    if ((scope !== 'read' && scope !== 'write') || token.length < TOKEN_MIN_LENGTH) {
      throw new Fault(
        'INVALID_PARAMS',
        `Line ${i + 1} of the token file is not "read|write <token> [label]"`,
        {
          hint: `A token has at least ${TOKEN_MIN_LENGTH} characters; make one with "airlock token"`,
        },
      );
    }
    return [{ digest: digestOf(token), scope, label: label.join(' ') || `line ${i + 1}` }];
  });
}

/**
 * The token of this `Authorization` header; undefined if it is not known. It takes the same time for every token, because
 * all digests are compared, in constant time.
 */
export function authenticate(header: string | undefined, tokens: readonly Token[]): Token | undefined {
  const [, given] = /^Bearer ([\x21-\x7e]+)$/i.exec(header ?? '') ?? [];
  const digest = digestOf(given ?? '');
  let found: Token | undefined;
  for (const token of tokens) {
    if (timingSafeEqual(digest, token.digest)) {
      found = token;
    }
  }
  return given === undefined ? undefined : found;
}

/** A header `Basic`, in which a browser sends the token as the password, as the header `Bearer`; any other one as it is. */
export function bearerOf(header: string | undefined): string | undefined {
  const [, encoded] = /^Basic ([A-Za-z0-9+/]+={0,2})$/i.exec(header ?? '') ?? [];
  const pair = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  return pair.includes(':') ? `Bearer ${pair.slice(pair.indexOf(':') + 1)}` : header;
}
