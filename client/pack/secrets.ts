/** Recognises files in which people keep secrets: by their names, and by what is in them. Pure. */

/** Names in lower case. */
const NAMES = [
  /^\.env$/,
  /^\.env\.(?!(?:.+\.)?(?:example|sample|template|dist|defaults)$)/,
  /\.(?:pem|p12|pfx|jks|keystore)$/,
  /^id_(?:rsa|dsa|ecdsa|ed25519|xmss)(?:_sk)?$/,
  /^[._]netrc$/,
  /^\.(?:git-credentials|pgpass|pypirc|dockercfg|vault-token)$/,
  /^credentials\.json$/,
  /^credentials\.tfrc\.json$/,
  /^application_default_credentials\.json$/,
] as const;

/** Paths in lower case: files that are secrets in one directory only. */
const PATHS = [
  /(?:^|\/)\.aws\/credentials$/,
  /(?:^|\/)\.docker\/config\.json$/,
  /(?:^|\/)\.kube\/config$/,
  /(?:^|\/)\.azure\/(?:accesstokens\.json|msal_token_cache\.(?:json|bin))$/,
  /(?:^|\/)gcloud\/(?:credentials|access_tokens)\.db$/,
] as const;

/** Whether a file has a name under which people keep secrets. */
export function looksSecret(path: string): boolean {
  const lower = path.toLowerCase();
  const name = lower.slice(lower.lastIndexOf('/') + 1);
  return NAMES.some((pattern) => pattern.test(name)) || PATHS.some((pattern) => pattern.test(lower));
}

/*
 * Each of these takes a time that grows with the length of the text and not faster: whatever repeats is bounded, or is
 * followed by something that it cannot match.
 */

/** A key, and not only its first line: documents and tests show that. */
const PRIVATE_KEY =
  /-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr]){1,100}(?:(?:[A-Za-z-]{1,40}: [^\n\\]{0,200}(?:\\r)?(?:\n|\\n)[ \t]{0,100}){1,10}(?:\s|\\[nr]){0,100})?[A-Za-z0-9+/=]{40}/;
const CLOUD_KEY = /aws_secret_access_key["']?[ \t]*[=:][ \t]*["']?[A-Za-z0-9+/]{40}/i;
/** A token of a package registry that is written out. One that names a variable is none. */
const REGISTRY_TOKEN =
  /^[^\S\r\n]*[^#;\s][^\r\n]*(?:_authToken|_auth|_password)["']?(?:[ \t]*=[ \t]*|[ \t]+)["']?(?!\$\{|[=<])[^\s"']/m;
/** The same in the YAML of newer versions of yarn. */
const YARN_TOKEN = /^[^#\r\n]*?npmAuth(?:Token|Ident)["']?[ \t]*:[ \t]*["']?(?!\$\{|[<~|>]|null\b)[^\s"'#]/m;

const TOKENS: Readonly<Record<string, RegExp>> = {
  '.npmrc': REGISTRY_TOKEN,
  '.yarnrc': REGISTRY_TOKEN,
  '.yarnrc.yml': YARN_TOKEN,
};

/** More than one match has never more characters than these. */
const OVERLAP_BYTES = 4096;

/** Looks for secrets in a file as its bytes go by. */
export class SecretScan {
  /** What a token of a registry looks like in this file; undefined in other files. */
  readonly #token: RegExp | undefined;
  #tail = Buffer.alloc(0);
  #found = false;

  constructor(path: string) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    this.#token = TOKENS[name];
  }

  get found(): boolean {
    return this.#found;
  }

  read(part: Buffer): void {
    if (this.#found) return;
    const bytes = this.#tail.length === 0 ? part : Buffer.concat([this.#tail, part]);
    this.#found = this.#isSecret(bytes);
    this.#tail = Buffer.from(bytes.subarray(-OVERLAP_BYTES));
  }

  #isSecret(bytes: Buffer): boolean {
    // Looking for a few bytes costs little; only where they are is the text read.
    return (
      (bytes.includes('PRIVATE KEY') && PRIVATE_KEY.test(bytes.toString('latin1'))) ||
      (bytes.includes('ecret_access_key') && CLOUD_KEY.test(bytes.toString('latin1'))) ||
      (bytes.includes('ECRET_ACCESS_KEY') && CLOUD_KEY.test(bytes.toString('latin1'))) ||
      this.#token?.test(bytes.toString('latin1')) === true
    );
  }
}
