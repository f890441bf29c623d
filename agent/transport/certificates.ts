/** The agent's certificate, its key, and the authority of its clients. They are read again when they change. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

import { Fault, toFault } from '../../shared/api/fault.ts';
import { ReloadedFiles } from './reloaded-files.ts';
import type { TlsContext } from './server.ts';

/** Files in PEM. */
export type TlsFiles = { cert: string; key: string; clientCa: string | undefined };

export class Certificates {
  readonly #files: ReloadedFiles;
  #context: TlsContext;

  /** @throws Fault INVALID_PARAMS if they cannot be read or do not belong together. */
  static async open({ cert, key, clientCa }: TlsFiles): Promise<Certificates> {
    const files = new ReloadedFiles('TLS file', [cert, key, ...(clientCa === undefined ? [] : [clientCa])]);
    return new Certificates(files, checked((await files.read()) ?? []));
  }

  private constructor(files: ReloadedFiles, context: TlsContext) {
    this.#files = files;
    this.#context = context;
  }

  get context(): TlsContext {
    return this.#context;
  }

  /**
   * Checks the files again, unless a check is running.
   *
   * @returns the new certificates; undefined if nothing has changed.
   * @throws Fault INVALID_PARAMS if the new files cannot be used. Then the old ones stay.
   */
  async refresh(): Promise<TlsContext | undefined> {
    const contents = await this.#files.read();
    if (contents === undefined) {
      return undefined;
    }
    const context = checked(contents);
    const [before, after] = [this.#context, context];
    if (before.cert.equals(after.cert) && before.key.equals(after.key) && sameCa(before.ca, after.ca)) {
      return undefined;
    }
    this.#context = context;
    return context;
  }
}

const sameCa = (a: Buffer | undefined, b: Buffer | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);

/** @throws Fault INVALID_PARAMS without any content of the files. */
function checked([cert, key, ca]: readonly Buffer[]): TlsContext {
  if (cert === undefined || key === undefined) {
    throw new Fault('INTERNAL', 'A certificate needs a key');
  }
  try {
    // Without a certificate in the file, every authority of the system would be accepted for clients.
    if (ca !== undefined) {
      void new X509Certificate(ca);
    }
    createSecureContext({ cert, key, ca });
  } catch (error) {
    const why = toFault(error, 'Reading the certificate').message;
    throw new Fault(
      'INVALID_PARAMS',
      `The TLS certificate, its key and the CA of clients cannot be used: ${why}`,
      {
        cause: error,
        hint: 'AIRLOCK_TLS_CERT and AIRLOCK_TLS_KEY must be PEM files that belong together',
      },
    );
  }
  return { cert, key, ca };
}
