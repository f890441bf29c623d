/** Nothing that is secret stands in a log, an error, an answer, an event or an argument: the built program, looked through. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { Program, addressOf } from '../_kit/program.ts';
import { Wire, ask, bearer } from '../_kit/wire.ts';

const A = `known-A-${'a'.repeat(35)}`;
const B = `known-B-${'b'.repeat(35)}`;
const WRONG = `wrong-C-${'c'.repeat(35)}`;
const SECRETS = [A, B, WRONG];

let program: Program | undefined;
afterEach(() => program?.close());

describe('a token', () => {
  it('is repeated nowhere, whatever goes wrong', async () => {
    const made = (program = await Program.open());
    const texts: string[] = [];
    const file = join(made.folder, 'tokens');
    await writeFile(file, `write ${A} platform\nread ${B} reader\n`);
    await made.serve({ AIRLOCK_TOKEN: made.token, AIRLOCK_TOKEN_FILE: file, AIRLOCK_LOG_LEVEL: 'trace' });
    made.agent?.stderr?.on('data', (chunk: Buffer) => texts.push(chunk.toString()));
    const address = addressOf(made);
    for (const secret of [...SECRETS, made.token]) {
      for (const question of [
        { headers: bearer(secret), path: '/v1/nowhere' },
        { headers: bearer(secret), path: `/v1/connect?token=${secret}` },
        { path: `/v1/connect/${secret}` },
        { path: `/${secret}`, upgrade: false },
        { headers: { ...bearer(secret), origin: `https://${secret}.example` } },
        { headers: { ...bearer(secret), host: `${secret}.example` } },
        { headers: { ...bearer(secret), 'sec-websocket-protocol': secret } },
        { headers: { authorization: secret } },
        { headers: { authorization: `Basic ${secret}` } },
        { headers: { ...bearer(secret), 'sec-websocket-key': secret } },
        { headers: { ...bearer(secret), 'sec-websocket-version': '7' } },
        { headers: bearer(`${secret}x`) },
      ]) {
        const { headers, body } = await ask(address, question);
        texts.push(JSON.stringify(headers), body);
      }
      const at = ['--to', made.url];
      const commands: [string[], Record<string, string>][] = [
        [['list', ...at], { AIRLOCK_TOKEN: secret }],
        [['list', ...at], { AIRLOCK_TOKEN: `${secret} ` }],
        [['list', ...at, '--json'], { AIRLOCK_TOKEN: `${secret}x` }],
        [['list', '--to', 'ws://127.0.0.1:1'], { AIRLOCK_TOKEN: secret }],
        [['list', '--to', `${made.url}/?token=${secret}`], {}],
        [['list', '--to', `http://127.0.0.1/?token=${secret}`], {}],
        [['list', '--to', `ws://${secret}@127.0.0.1:1`], {}],
        [['rollback', 'nothing', ...at], { AIRLOCK_TOKEN: secret }],
      ];
      // One of the secrets goes through processes: a process can print more than its command does.
      const ended = await Promise.all(
        commands.map(([words, env]) => (secret === WRONG ? made.run : made.here).call(made, words, env)),
      );
      texts.push(...ended.flatMap(({ stdout, stderr }) => [stdout, stderr]));
    }
    const agents: [string[], Record<string, string>][] = [
      [['agent', '--root', '/proc/nowhere'], { AIRLOCK_TOKEN: made.token }],
      [['agent', '--root', '/proc/nowhere'], { AIRLOCK_TOKEN: `${made.token} x` }],
      [['agent'], { AIRLOCK_TOKEN: '', AIRLOCK_TLS_KEY: `-----BEGIN-----\n${WRONG}` }],
    ];
    const ended = await Promise.all(agents.map(([words, env]) => made.run(words, env)));
    texts.push(...ended.flatMap(({ stdout, stderr }) => [stdout, stderr]));
    // A reader that writes, frames that are none, a file that breaks, tokens that go: all with sessions open.
    const writer = await Wire.start(address, { token: A });
    const reader = await Wire.start(address, { token: B });
    texts.push(JSON.stringify((await reader.refusal('sweep', { operationId: 'operation-1' })).data));
    reader.text(`{"token":"not json`);
    texts.push((await reader.closed).reason);
    await writeFile(file, `write ${A} platform\nnonsense ${B}\n`);
    await ask(address, { headers: bearer(B) });
    await writeFile(file, '# nobody\n');
    texts.push((await writer.closed).reason, JSON.stringify(writer.received));
    const pid = String(made.agent?.pid);
    texts.push(await readFile(`/proc/${pid}/cmdline`, 'utf8'), await readFile(`/proc/${pid}/comm`, 'utf8'));
    expect(await made.stop()).toBe(0);
    texts.push(JSON.stringify(made.log));
    expect(made.log.map(({ msg }) => msg)).toContain('upgrade refused');
    expect(made.log.map(({ msg }) => msg)).toContain('the token is no longer valid');
    // What was looked through is what was said: each of these stands somewhere in it.
    const all = texts.join('\n');
    for (const word of ['UNAUTHENTICATED', 'FORBIDDEN', 'platform', 'airlock.mjs', 'Line 2']) {
      expect(all).toContain(word);
    }
    for (const secret of [...SECRETS, made.token]) {
      expect(texts.filter((text) => text.includes(secret))).toEqual([]);
    }
  });
});
