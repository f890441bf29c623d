/** The certificate that the agent shows, its key, and who may sign its clients: read again when they change. */
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
   * Looks at the files again; not while it looks already.
   *
   * @returns what to use from now on; undefined if nothing has changed.
   * @throws Fault INVALID_PARAMS if what stands there now is of no use: what was before stays.
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

/** @throws Fault INVALID_PARAMS, which holds nothing of what stands in the files. */
function checked([cert, key, ca]: readonly Buffer[]): TlsContext {
  if (cert === undefined || key === undefined) {
    throw new Fault('INTERNAL', 'A certificate needs a key');
  }
  try {
    // Without a certificate in it, every authority of the system would do: that must not let clients in.
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
