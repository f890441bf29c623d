/** Files, directories and addresses that a command names and that are not there. */
import { createServer } from 'node:net';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { run } from '../../cli/run.ts';
import { TOKEN, scratch } from '../_kit/agent.ts';
import { inProcess } from '../_kit/two-ways.ts';
import { yamlOf } from '../_kit/install-room.ts';

const TO = ['--to', 'ws://127.0.0.1:1'];

describe('a file or directory that does not exist is said to be missing', () => {
  it.each([
    ['push', ['push', 'nofile.tgz', ...TO]],
    ['pack', ['pack', 'nodir']],
    ['classify', ['classify', 'nodir', ...TO]],
    ['the token file', ['list', ...TO, '--token-file', 'nofile']],
    ['a certificate', ['list', ...TO, '--ca', 'nofile']],
    ['the root', ['list', '--root', '/nonexistent']],
  ])('%s', async (_what, words) => {
    const { code, text } = await inProcess(words);
    expect(code).toBe(1);
    expect(text).toMatch(/\(NOT_FOUND\)\n {2}why: .*" does not exist\n {2}what to do: /);
  });
});

it('what would be below a file is said to be missing too', async () => {
  const folder = await scratch();
  await writeFile(join(folder, 'a'), 'x');
  const { code, text } = await inProcess(['pack', join(folder, 'a/b')]);
  expect([code, text]).toEqual([1, expect.stringContaining('(NOT_FOUND)')]);
});

describe('what is there, but is something else, is named for what it is', () => {
  it.each([
    ['a directory as token file', (folder: string) => ['list', ...TO, '--token-file', folder], 'EISDIR'],
    ['a directory as certificate', (folder: string) => ['list', ...TO, '--ca', folder], 'EISDIR'],
    ['a file to pack', (folder: string) => ['pack', join(folder, 'a')], 'is neither a directory nor a zip'],
  ])('%s', async (_what, words, why) => {
    const folder = await scratch();
    await writeFile(join(folder, 'a'), 'x');
    const { code, text } = await inProcess(words(folder));
    expect([code, text]).toEqual([2, expect.stringContaining(why)]);
    expect(text).toMatch(/^What was given is not valid \(INVALID_PARAMS\)\n/);
  });
});

describe('a port on which nothing listens', () => {
  async function closedPort(): Promise<string> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return `ws://127.0.0.1:${port}`;
  }

  it.each(['list', 'status', 'watch', 'sweep', 'verify lint', 'rollback lint'])(
    'ends "airlock %s" at once with exit code 3',
    async (words) => {
      const url = await closedPort();
      const { code, text } = await inProcess([...words.split(' '), '--to', url], { AIRLOCK_TOKEN: TOKEN });
      expect(code).toBe(3);
      expect(text).toContain(`why: Connecting to ${url} failed: nothing listens there (ECONNREFUSED)\n`);
    },
  );

  it('is told before the first pause of "airlock push", which tries again', async () => {
    const folder = await scratch();
    await mkdir(join(folder, 'lint'));
    await writeFile(join(folder, 'lint/plugin.yaml'), yamlOf());
    const url = await closedPort();
    const interrupt = new AbortController();
    const said: string[] = [];
    const sink = {
      write: (text: string) => {
        said.push(text);
        interrupt.abort();
      },
    };
    const code = await run({
      words: ['push', join(folder, 'lint'), '--to', url],
      env: { AIRLOCK_TOKEN: TOKEN },
      out: sink,
      error: sink,
      version: '1.2.3',
      self: new URL(import.meta.url),
      signal: interrupt.signal,
    });
    expect(code).toBe(130);
    expect(said[0]).toMatch(
      /failed: nothing listens there \(ECONNREFUSED\); trying again in .*, 5 times at most\n$/,
    );
  });
});
