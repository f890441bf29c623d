/** The valid tokens: from the variable, and from the file, which is read again when it changes. */
import { createHash, timingSafeEqual } from 'node:crypto';

import { Fault, toFault } from '../../shared/api/fault.ts';
import { textIn } from '../../shared/format/text.ts';
import { ReloadedFiles } from './reloaded-files.ts';
import { type Known, type Token, authenticate, tokenFromVariable, tokensFromFile } from './auth.ts';

export class Tokens {
  readonly #fixed: Token[];
  readonly #file: ReloadedFiles | undefined;
  readonly #complain: (fault: Fault) => void;
  readonly #required: boolean;
  #fromFile: Token[] = [];
  /** The sha256 of the file as it was read last. */
  #content = '';
  #complaint = '';
  /** The running check of the file, and the one after it. */
  #looking: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /**
   * Reads the tokens for the first time.
   *
   * @param complain called once for each content of the file that cannot be used, and the old tokens stay valid then; or
   *   that holds no token, so that nobody is let in.
   * @param required whether nobody could connect without a token.
   * @throws Fault INVALID_PARAMS if a required token is missing, or one is malformed.
   */
  static async open(
    variable: string | undefined,
    file: string | undefined,
    complain: (fault: Fault) => void,
    required = true,
  ): Promise<Tokens> {
    const tokens = new Tokens(variable, file, complain, required);
    await tokens.#read();
    if (required && tokens.#all.length === 0) {
      throw new Fault('INVALID_PARAMS', 'No token is configured, and the agent needs one', {
        hint:
          'Make one with "airlock token" and set AIRLOCK_TOKEN or AIRLOCK_TOKEN_FILE; ' +
          'only a Unix socket (AIRLOCK_LISTEN=unix:/path) and an agent that connects to a platform (AIRLOCK_DIAL) need none',
      });
    }
    return tokens;
  }

  private constructor(
    variable: string | undefined,
    file: string | undefined,
    complain: (fault: Fault) => void,
    required: boolean,
  ) {
    this.#required = required;
    this.#fixed = variable === undefined || variable === '' ? [] : [tokenFromVariable(variable)];
    this.#file = file === undefined ? undefined : new ReloadedFiles('token file', [file]);
    this.#complain = complain;
  }

  /** The caller of this `Authorization` header, by the last check of the file; undefined if the token is not known. */
  authenticate(header: string | undefined): Known | undefined {
    const token = authenticate(header, this.#all);
    return token === undefined
      ? undefined
      : { caller: { scope: token.scope, label: token.label }, isValid: () => this.#isValid(token) };
  }

  /** Checks the file again. When it resolves, everything that was written before the call counts. It never rejects. */
  refresh(): Promise<void> {
    if (this.#next !== undefined) {
      return this.#next;
    }
    if (this.#looking === undefined) {
      return this.#begin();
    }
    this.#next = this.#looking.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    try {
      await this.#read();
      if (this.#required && this.#all.length === 0) {
        throw new Fault('INVALID_PARAMS', 'The token file holds no token, so nobody is let in', {
          hint: 'Make a token with "airlock token", and write it into the file',
        });
      }
      this.#complaint = '';
    } catch (error) {
      const fault = toFault(error, 'Reading the token file');
      const complaint = `${fault.message} ${this.#content}`;
      if (complaint !== this.#complaint) {
        this.#complaint = complaint;
        this.#complain(fault);
      }
    }
  }

  get #all(): Token[] {
    return [...this.#fixed, ...this.#fromFile];
  }

  /** A token with another scope is another token. */
  #isValid({ digest, scope }: Token): boolean {
    return this.#all.some((token) => token.scope === scope && timingSafeEqual(token.digest, digest));
  }

  async #read(): Promise<void> {
    const [bytes] = (await this.#file?.read()) ?? [];
    if (bytes === undefined) {
      return;
    }
    this.#content = createHash('sha256').update(bytes).digest('hex');
    const reading = textIn(bytes);
    if (reading.kind === 'unreadable') {
      throw new Fault('INVALID_PARAMS', `The token file cannot be read: ${reading.why}`, {
        hint: 'Save the token file as UTF-8',
      });
    }
    this.#fromFile = tokensFromFile(reading.text);
  }
}
