/** The built program over TLS, mutual TLS and a Unix socket, as people type it. */
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { canCertify, makeAuthority, makeCertificate } from '../_kit/certificates.ts';
import { Program, examplePlugin } from '../_kit/program.ts';

let program: Program;
beforeEach(async () => {
  program = await Program.open();
});
afterEach(() => program.close());

const said = (): unknown[] => program.log.map(({ msg }) => msg);
const CLEAR = 'there is no TLS: tokens and plugins cross this network unencrypted';

it('a push over mutual TLS is installed; without the certificate it is unreachable', async (context) => {
  if (!canCertify()) context.skip('openssl is not installed');
  const authority = makeAuthority(program.folder, 'authority');
  const [own, mine] = ['agent', 'client'].map((name) => makeCertificate(program.folder, name, authority));
  await program.serve({
    AIRLOCK_TLS_CERT: own?.cert ?? '',
    AIRLOCK_TLS_KEY: own?.key ?? '',
    AIRLOCK_TLS_CLIENT_CA: authority.cert,
  });
  const to = ['--to', program.url.replace('ws:', 'wss:'), '--ca', authority.cert];
  const shown = ['--cert', mine?.cert ?? '', '--key', mine?.key ?? ''];
  const { code, stdout } = await program.run(['push', examplePlugin, ...to, ...shown, '--json']);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'installed' }]);
  expect((await program.here(['list', ...to])).code).toBe(3);
  expect((await program.here(['list', ...to, ...shown], { AIRLOCK_TOKEN: 'x'.repeat(43) })).code).toBe(4);
  const missing = await program.here(['list', ...to, '--cert', 'nowhere.pem']);
  expect([missing.code, missing.stderr]).toEqual([
    expect.any(Number),
    expect.stringContaining('nowhere.pem'),
  ]);
  expect(said()).not.toContain(CLEAR);
});

it('a push over a Unix socket needs no token, for the agent neither', async () => {
  const path = join(program.folder, 'airlock.sock');
  await program.serve({ AIRLOCK_LISTEN: `unix:${path}`, AIRLOCK_TOKEN: '' });
  const env = { AIRLOCK_TOKEN: '', AIRLOCK_URL: `ws+unix:${path}` };
  const { code, stdout } = await program.run(['push', examplePlugin, '--json'], env);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'installed', by: 'socket' }]);
  expect(await program.stop()).toBe(0);
  expect((await program.here(['list', '--to', `ws+unix:${path}`], env)).code).toBe(3);
});

it('an agent without a token does not start, on the loopback neither', async () => {
  const ended = ['127.0.0.1:0', '[::1]:0', 'localhost:0'].map((listen) =>
    program.run(['agent'], { AIRLOCK_TOKEN: '', AIRLOCK_LISTEN: listen, AIRLOCK_ROOT: program.root }),
  );
  for (const { code, stderr } of await Promise.all(ended)) {
    expect([code, stderr]).toEqual([expect.any(Number), expect.stringContaining('No token is configured')]);
    expect(code).toBeGreaterThan(0);
  }
});

it('an agent on the loopback does not warn of the network', async () => {
  await program.serve();
  expect(said()).not.toContain(CLEAR);
});
