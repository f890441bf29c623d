/** The tokens that are valid now: from the variable, and from the file, which is read again when it changes. */
import { readFileSync, statSync } from 'node:fs';

import { Fault, toFault } from '../shared/fault.ts';
import { type Caller, type Token, authenticate, tokenFromVariable, tokensFromFile } from './session/auth.ts';

export class Tokens {
  readonly #fixed: Token[];
  readonly #file: string | undefined;
  readonly #complain: (fault: Fault) => void;
  #fromFile: Token[] = [];
  #seen = '';

  /**
   * @param complain hears of a file that cannot be read any more; the tokens before stay valid then.
   * @throws Fault INVALID_PARAMS if there is no token, for nobody could ever get in, or one is malformed.
   */
  constructor(variable: string | undefined, file: string | undefined, complain: (fault: Fault) => void) {
    this.#fixed = variable === undefined || variable === '' ? [] : [tokenFromVariable(variable)];
    this.#file = file;
    this.#complain = complain;
    if (file !== undefined) {
      this.#read(file);
    }
    if (this.#fixed.length + this.#fromFile.length === 0) {
      throw new Fault('INVALID_PARAMS', 'No token is configured, and the agent serves nobody without one', {
        hint: 'Make one with "airlock token" and set AIRLOCK_TOKEN or AIRLOCK_TOKEN_FILE',
      });
    }
  }

  /** Who bears this `Authorization` header; undefined for nobody known. */
  authenticate(header: string | undefined): Caller | undefined {
    if (this.#file !== undefined) {
      try {
        this.#read(this.#file);
      } catch (error) {
        this.#complain(toFault(error, 'Reading the token file'));
      }
    }
    return authenticate(header, [...this.#fixed, ...this.#fromFile]);
  }

  #read(file: string): void {
    let text: string;
    try {
      const { mtimeMs, size, ino } = statSync(file);
      const seen = `${mtimeMs} ${size} ${ino}`;
      if (seen === this.#seen) {
        return;
      }
      text = readFileSync(file, 'utf8');
      this.#seen = seen;
    } catch (error) {
      throw new Fault('INVALID_PARAMS', `The token file "${file}" cannot be read: ${String(error)}`, {
        cause: error,
      });
    }
    this.#fromFile = tokensFromFile(text);
  }
}
