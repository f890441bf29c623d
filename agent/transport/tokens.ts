/** The tokens that are valid now: from the variable, and from the file, which is read again when it changes. */
import { timingSafeEqual } from 'node:crypto';

import { Fault, toFault } from '../../shared/api/fault.ts';
import { ReloadedFiles } from './reloaded-files.ts';
import { type Known, type Token, authenticate, tokenFromVariable, tokensFromFile } from './auth.ts';

export class Tokens {
  readonly #fixed: Token[];
  readonly #file: ReloadedFiles | undefined;
  readonly #complain: (fault: Fault) => void;
  #fromFile: Token[] = [];
  #complaint = '';

  /**
   * @param complain hears, once, of a file that cannot be read any more; the tokens before stay valid then.
   * @param required whether nobody could ever get in without a token.
   * @throws Fault INVALID_PARAMS if there is none though one is required, or one is malformed.
   */
  constructor(
    variable: string | undefined,
    file: string | undefined,
    complain: (fault: Fault) => void,
    required = true,
  ) {
    this.#fixed = variable === undefined || variable === '' ? [] : [tokenFromVariable(variable)];
    this.#file = file === undefined ? undefined : new ReloadedFiles('token file', [file]);
    this.#complain = complain;
    this.#read();
    if (required && this.#all.length === 0) {
      throw new Fault('INVALID_PARAMS', 'No token is configured, and the agent serves nobody without one', {
        hint:
          'Make one with "airlock token" and set AIRLOCK_TOKEN or AIRLOCK_TOKEN_FILE; ' +
          'only a Unix socket (AIRLOCK_LISTEN=unix:/path) needs none',
      });
    }
  }

  /** Who bears this `Authorization` header; undefined for nobody known. */
  authenticate(header: string | undefined): Known | undefined {
    this.refresh();
    const token = authenticate(header, this.#all);
    return token === undefined
      ? undefined
      : { caller: { scope: token.scope, label: token.label }, isValid: () => this.#isValid(token) };
  }

  /** Looks at the file again. */
  refresh(): void {
    try {
      this.#read();
      this.#complaint = '';
    } catch (error) {
      const fault = toFault(error, 'Reading the token file');
      if (fault.message !== this.#complaint) {
        this.#complaint = fault.message;
        this.#complain(fault);
      }
    }
  }

  get #all(): Token[] {
    return [...this.#fixed, ...this.#fromFile];
  }

  /** A token whose scope has changed is another one. */
  #isValid({ digest, scope }: Token): boolean {
    return this.#all.some((token) => token.scope === scope && timingSafeEqual(token.digest, digest));
  }

  #read(): void {
    const [bytes] = this.#file?.read() ?? [];
    if (bytes !== undefined) {
      this.#fromFile = tokensFromFile(bytes.toString('utf8'));
    }
  }
}
