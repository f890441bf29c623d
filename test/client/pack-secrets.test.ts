/** Files that look like secrets are refused, and what only resembles them passes. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { listDirectory } from '../../client/pack/pack.ts';
import { SecretScan } from '../../client/pack/secrets.ts';
import { base, files, listed, packed, packsInScratch, plugin, refused } from './packing.ts';

packsInScratch();

describe('secrets', () => {
  const BEGIN = '-----BEGIN RSA PRIVATE KEY-----';
  const BODY = 'MIIEpAIBAAKCAQEA1234567890abcdefghijklmnopqrstuvwxyz'.repeat(20);

  it.each([
    '.env',
    '.env.local',
    '.env.production',
    'deep/.ENV',
    'server.pem',
    'cert.p12',
    'release.keystore',
    'id_rsa',
    'keys/id_ed25519',
    '.netrc',
    '_netrc',
    'config/credentials.json',
    'application_default_credentials.json',
    '.aws/credentials',
    '.docker/config.json',
    '.git-credentials',
    '.pypirc',
    '.dockercfg',
    '.vault-token',
    'credentials.tfrc.json',
    '.azure/accessTokens.json',
    '.azure/msal_token_cache.json',
    '.config/gcloud/credentials.db',
  ])('under the name %s are refused, unless its path is allowed', async (path) => {
    await files({ [path]: 'secret' });
    const error = await refused();
    expect(error.code).toBe('INVALID_PARAMS');
    expect(error.message).toContain(`"${path}"`);
    expect(error.hint).toContain(`--allow-secret "${path}"`);
    expect((await refused({ allowSecrets: [`other/${path}`] })).code).toBe('INVALID_PARAMS');
    expect((await packed({ allowSecrets: [path] })).files).toBe(2);
  });

  it.each([
    ['a private key', 'notes.txt', `${BEGIN}\n${BODY}\n`],
    [
      'an encrypted private key',
      'k',
      `${BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n${BODY}\n`,
    ],
    [
      'a private key in JSON',
      'account.json',
      JSON.stringify({ private_key: `-----BEGIN PRIVATE KEY-----\n${BODY}\n` }),
    ],
    ['a private key on a boundary', 'big.bin', `${'x'.repeat(256 * 1024 - 20)}${BEGIN}\n${BODY}\n`],
    ['a key of a cloud', 'setup.sh', `export AWS_SECRET_ACCESS_KEY="${'a1B2'.repeat(10)}"\n`],
    [
      'an encrypted private key in JSON',
      'k.json',
      JSON.stringify(`${BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n${BODY}`),
    ],
    ['a private key of PGP', 'k.asc', `-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 2\n\n${BODY}\n`],
    ['a key of a cloud in YAML', 'ci.yml', `  AWS_SECRET_ACCESS_KEY: ${'a1B2'.repeat(10)}\n`],
    ['a token of yarn', '.yarnrc', '"//registry.example.test/:_authToken" abcdef0123456789\n'],
    ['a token of a newer yarn', '.yarnrc.yml', 'npmAuthToken: abcdef0123456789\n'],
    ['a quoted token', '.yarnrc.yml', 'npmScopes:\n  a:\n    "npmAuthToken": "abcdef0123456789"\n'],
    ['a user of yarn', 'deep/.yarnrc.yml', 'npmRegistries: {"//a.test": {npmAuthIdent: "user:word"}}\n'],
    ['a token of a registry', '.npmrc', '//registry.example.test/:_authToken=abcdef0123456789\n'],
  ])('are seen in what a file holds: %s', async (_, path, content) => {
    await files({ [path]: content });
    expect((await refused()).message).toContain(`"${path}"`);
    expect((await packed({ allowSecrets: [path] })).files).toBe(2);
    const { secrets } = await listDirectory(plugin);
    expect(secrets).toEqual([path]);
  });

  // Was a bug: the time grew with the square of the length, to minutes.
  it.each([
    ['spaces', 'a', `-----BEGIN PRIVATE KEY-----${' '.repeat(250_000)}`],
    ['headers', 'a', '-----BEGIN PRIVATE KEY-----\na: '.repeat(8000)],
    ['lines of headers', 'a', `-----BEGIN PRIVATE KEY-----\n${'a: a: \\n \n'.repeat(20_000)}`],
    ['tokens', '.npmrc', '_auth""'.repeat(40_000)],
    ['empty lines', '.npmrc', '\n'.repeat(250_000)],
    ['carriage returns', '.npmrc', '\r'.repeat(250_000)],
    ['lines with carriage returns', '.npmrc', 'x\r'.repeat(125_000)],
    ['lines of yarn with carriage returns', '.yarnrc.yml', 'x\r'.repeat(125_000)],
    ['tokens of yarn', '.yarnrc.yml', 'npmAuthToken '.repeat(20_000)],
    ['spaces after a token of yarn', '.yarnrc.yml', `npmAuthToken:${' '.repeat(250_000)}`],
  ])('are looked for in a time that many %s do not stretch', (_, path, text) => {
    const scan = new SecretScan(path);
    // Minutes would be more than a test may take.
    scan.read(Buffer.from(text));
    expect(scan.found).toBe(false);
  });

  it('leave no bundle behind', async () => {
    await files({ k: `${BEGIN}\n${BODY}\n` });
    const out = join(base, 'out.tgz');
    await refused({ out });
    expect(await readdir(base)).not.toContain('out.tgz');
  });

  it.each([
    ['.env.example', 'A='],
    ['.env.sample', 'A='],
    ['.env.local.template', 'A='],
    ['id_rsa.pub', 'ssh-rsa AAAA'],
    ['id_mapping.py', 'x = 1'],
    ['environment', ''],
    ['pem.md', ''],
    ['my_id_rsa', ''],
    ['docs/keys.md', `A key begins with ${BEGIN} and then lines.`],
    ['.npmrc', '//registry.example.test/:_authToken=${NPM_TOKEN}\nsave-exact=true\n'],
    ['.npmrc', '//registry.example.test/:_authToken = ${NPM_TOKEN}\n//other.test/:_password=\nx=y\n'],
    ['.npmrc', '//registry.example.test/:_authToken=<your token>\n'],
    ['.yarnrc.yml', 'npmAuthToken: ${NPM_TOKEN}\nnodeLinker: node-modules\n'],
    ['.yarnrc.yml', 'npmAuthToken: "${NPM_TOKEN:-}"\nnpmAuthIdent: ""\n# npmAuthToken: abc\n'],
    ['.yarnrc.yml', 'npmAlwaysAuth: true\nnpmAuthToken:\nnpmAuthIdent: <user>:<word>\n'],
    ['yarn.yml', 'npmAuthToken: abcdef0123456789\n'],
    ['aws.md', 'aws_secret_access_key = <your key>'],
  ])('are not seen in %s', async (path, content) => {
    await files({ [path]: content });
    expect((await packed()).files).toBe(2);
  });

  it('are no reason to refuse where .airlockignore leaves them out', async () => {
    await files({ '.env': 'secret', '.airlockignore': '.env\n' });
    expect(listed(await packed())).toEqual(['.airlockignore', 'plugin.yaml']);
  });
});
