/** Certificates for a test, made by openssl: authorities, and what they sign. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Whether certificates can be made here; if not, the tests that need them say so. */
export const canCertify = (): boolean => spawnSync('openssl', ['version']).status === 0;

export type Pair = { cert: string; key: string };

/** The words, and behind them files, whose names may hold spaces. */
const openssl = (words: string, ...files: string[]): void =>
  void execFileSync('openssl', [...words.split(' '), ...files], { stdio: 'ignore' });

const EC = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';

/** An authority of its own. */
export function makeAuthority(folder: string, name: string): Pair {
  const pair = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  openssl(`req -x509 ${EC} -days 2 -subj /CN=${name} -keyout`, pair.key, '-out', pair.cert);
  return pair;
}

/** A certificate for 127.0.0.1 and localhost, signed by an authority. */
export function makeCertificate(folder: string, name: string, authority: Pair): Pair {
  const pair = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
  writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  openssl(`req -new ${EC} -subj /CN=${name} -keyout`, pair.key, '-out', request);
  const by = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-extfile', extensions];
  openssl('x509 -req -days 2 -in', request, ...by, '-out', pair.cert);
  return pair;
}
