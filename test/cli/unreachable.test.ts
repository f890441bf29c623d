/** Every command that asks an agent says in the same way that it cannot be reached. */
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { isMethod, methods } from '../../shared/api/methods.ts';
import { scratch } from '../_kit/agent.ts';
import { deafPort } from '../_kit/deaf-port.ts';
import { runHere } from '../_kit/program.ts';

const WORDS: Readonly<Record<string, string>> = { plugin: 'lint', url: 'http://127.0.0.1:1/lint.tgz' };

/** The commands of the table of methods that need no other word than these. */
const fromRows = Object.keys(methods)
  .filter(isMethod)
  .flatMap((method) => (methods[method].cli ?? []).map((row) => ({ method, row })))
  .filter(({ method, row }) => {
    const typed = Object.fromEntries(row.arguments.map((name) => [name, WORDS[name]]));
    const params = { operationId: 'operation-1', ...typed, ...row.sets };
    return methods[method].params.safeParse(params).success;
  })
  .map(({ row }) => [row.name, ...row.arguments.map((name) => WORDS[name] ?? '')]);

it.each([
  ...fromRows,
  ['list'],
  ['status'],
  ['verify'],
  ['verify', 'lint'],
  ['watch'],
  ['classify', '.'],
  ['push', '.'],
])('airlock %s ends with exit code 3', async (...words) => {
  const directory = join(await scratch(), 'lint');
  await mkdir(directory);
  await writeFile(join(directory, 'plugin.yaml'), 'name: lint\nversion: 1.0.0\n');
  // Another program answers: that is certain, so a push does not try again.
  const server = createServer((_request, response) => response.writeHead(404).end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const ports = [(server.address() as AddressInfo).port, ...(words[0] === 'push' ? [] : [await deafPort()])];
  const typed = words.map((word) => (word === '.' ? directory : word));
  for (const port of ports) {
    const to = ['--to', `ws://127.0.0.1:${port}`, '--json'];
    const { code, stderr } = await runHere([...typed, ...to], { AIRLOCK_TOKEN: 't'.repeat(40) });
    expect([code, stderr]).toEqual([3, expect.stringContaining('(UNREACHABLE)')]);
  }
});
