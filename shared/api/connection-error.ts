/** Why a connection to another machine could not be made, in words. */

/** Errors of the system that say that nobody answers at the address, at least not now. */
const NOBODY: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOENT: 'there is no such socket',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'names cannot be looked up just now',
  EHOSTUNREACH: 'there is no way to that machine',
  ENETUNREACH: 'there is no way to that network',
  ETIMEDOUT: 'nobody answers there',
};

/** `isCertificate`: one side does not accept the certificate of the other, or one cannot be read. */
export type ConnectionError = { code: string; why: string; isCertificate: boolean };

/** Reads the error of a socket. */
export function connectionError(error: Error & { code?: unknown }): ConnectionError {
  const code = typeof error.code === 'string' ? error.code : '';
  const said = error.message === '' ? code : error.message;
  return {
    code,
    why: Object.hasOwn(NOBODY, code) ? `${NOBODY[code]} (${code})` : said,
    isCertificate: /CERT|SELF_SIGNED|ISSUER|VERIFY|UNKNOWN_CA|^ERR_OSSL_/.test(code),
  };
}
