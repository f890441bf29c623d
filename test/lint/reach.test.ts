/** Only client/reach.ts decides whether an agent is reachable. A second place turns this red. */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

const root = join(import.meta.dirname, '../..');
const ONE_PLACE = 'client/reach.ts';
/** The exit codes of all commands, and nothing else, are made of codes of faults here. */
const EXIT_CODES = 'cli/command.ts';

/** What decides it: the code of the fault, the errors of a socket, a close code, an HTTP status, the exit code. */
const DECIDING: readonly RegExp[] = [
  /\bUNREACHABLE\b/,
  /\bE(?:CONNREFUSED|CONNRESET|CONNABORTED|NOTFOUND|TIMEDOUT|HOSTUNREACH|HOSTDOWN|NETUNREACH|NETDOWN|AI_AGAIN)\b/,
  /\bconnectionError\b/,
  /\b1006\b/,
  /\bstatus(?:Code)?\b[^\n]{0,20}[=!<>]==? *5\d\d\b/,
  /\bEXIT\.unreachable\b/,
  /\bnotRunning *\?*\.*\(/,
];

const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[^]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');

/** The lines of the client and of the commands that decide it in another place. */
function secondPlaces(folder: string): string[] {
  const files = ['client', 'cli'].flatMap((room) =>
    readdirSync(join(folder, room), { recursive: true, encoding: 'utf8' }).map((name) => join(room, name)),
  );
  return files
    .filter((file) => file.endsWith('.ts') && file !== ONE_PLACE && file !== EXIT_CODES)
    .toSorted()
    .flatMap((file) =>
      withoutComments(readFileSync(join(folder, file), 'utf8'))
        .split('\n')
        .filter((line) => DECIDING.some((pattern) => pattern.test(line)))
        .map((line) => `${relative('.', file)}: ${line.trim()}`),
    );
}

it('is decided in one place', () => {
  expect(secondPlaces(root)).toEqual([]);
  expect(
    DECIDING.filter((pattern) => pattern.test(readFileSync(join(root, ONE_PLACE), 'utf8'))).length,
  ).toBeGreaterThan(2);
});

it.each([
  ['client/list.ts', "if (fault.code === 'UNREACHABLE') return 'down';"],
  ['client/fleet/sweep.ts', "throw new Fault('UNREACHABLE', 'It is gone');"],
  ['cli/commands/list.ts', "const isDown = ['ECONNREFUSED', 'ENOTFOUND'].includes(error.code);"],
  ['client/link.ts', 'if (code === 1006) this.#isDown = true;'],
  ['cli/reach.ts', 'if (response.statusCode === 503) return EXIT.failed;'],
  ['cli/commands/watch.ts', 'return EXIT.unreachable;'],
  ['client/follow.ts', 'const why = await options.notRunning?.();'],
  ['cli/commands/status.ts', "import { connectionError } from '../../shared/api/connection-error.ts';"],
])('a second place in %s is found', (file, line) => {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-reach-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const plant = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  plant('client/reach.ts', line);
  plant('cli/words.ts', `/** UNREACHABLE, 1006 */\nexport const one = 1; // ECONNREFUSED\n`);
  expect(secondPlaces(folder)).toEqual([]);
  plant(file, `export {};\n${line}\n`);
  expect(secondPlaces(folder)).toEqual([`${file}: ${line}`]);
});
