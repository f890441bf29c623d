/** The checks that an agent makes about its own doors: tokens, certificates, addresses. A command makes them for an agent that would start in its place. */
import { X509Certificate } from 'node:crypto';
import { type Stats, promises as fs } from 'node:fs';
import { get } from 'node:http';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';

import { type CheckFound, note, ok, warning, wrong } from '../../shared/api/doctor.ts';
import { errorCode, toFault } from '../../shared/api/fault.ts';
import type { DialStatus, WatchStatus } from '../../shared/api/maintenance.ts';
import { HEALTH_PATH } from '../../shared/api/rpc.ts';
import { textIn } from '../../shared/format/text.ts';
import { tokenToShow } from '../../shared/format/token-file.ts';
import { isLoopback } from '../../shared/loopback.ts';
import type { AgentConfig } from '../config.ts';
import { type Token, tokenFromVariable, tokensFromFile } from './auth.ts';
import type { Address } from './bind.ts';
import { Certificates } from './certificates.ts';

type TokenConfig = Pick<AgentConfig, 'token' | 'tokenFile' | 'pullTokenFile' | 'listen' | 'dial'>;

/** @param isAgent whether an agent asks, which has started with these settings, and not a command. */
export async function checkToken(config: TokenConfig, isAgent: boolean): Promise<CheckFound[]> {
  const { token, tokenFile, pullTokenFile, dial } = config;
  const shown = [
    { what: 'platform', file: dial?.files.token },
    { what: 'servers of pulls', file: pullTokenFile },
  ];
  const found = [
    ...(token === undefined ? [] : fromVariable(token)),
    ...(tokenFile === undefined ? [] : await ofTokenFile(tokenFile)),
    ...(token === undefined && tokenFile === undefined ? noToken(config, isAgent) : []),
  ];
  for (const { what, file } of shown) {
    found.push(...(file === undefined ? [] : await ofShownToken(what, file)));
  }
  return found;
}

const MAKE = 'Make one with "airlock token --file <file>" and name the file in AIRLOCK_TOKEN_FILE';
const SHUT_OUT = 'An agent does not start with it, and one that runs keeps the tokens that it had';

function noToken({ listen, dial }: TokenConfig, isAgent: boolean): CheckFound[] {
  if ('path' in listen) {
    return [ok('No token is set: the mode of the Unix socket keeps everybody else out')];
  }
  if (dial !== undefined) {
    return [ok('No token is set: the agent lets in nobody, and connects to its platform')];
  }
  return [
    isAgent
      ? wrong('No token is set', 'Nobody can connect', MAKE)
      : note('No token is set here', 'An agent with these settings does not start', MAKE),
  ];
}

function fromVariable(token: string): CheckFound[] {
  try {
    tokenFromVariable(token);
    return [ok('AIRLOCK_TOKEN holds a token that is long enough')];
  } catch (error) {
    const { message, hint } = toFault(error, 'Reading AIRLOCK_TOKEN');
    return [wrong(message, SHUT_OUT, hint ?? MAKE)];
  }
}

/** A file with a secret: what its mode lets others do. */
function modeOf(what: string, file: string, { mode, uid }: Stats): CheckFound[] {
  const shown = `"${file}" (${what}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}, uid ${uid})`;
  const fix = `chmod 0600 "${file}", or mount the secret with that mode (defaultMode: 0400)`;
  if ((mode & 0o022) !== 0) {
    return [
      wrong(
        `Others than its owner may write to ${shown}`,
        'Whoever may write there decides who gets in',
        fix,
      ),
    ];
  }
  return (mode & 0o004) === 0
    ? []
    : [warning(`Everybody on this machine may read ${shown}`, 'Whoever has it may change plugins', fix)];
}

async function readRegular(file: string): Promise<{ stats: Stats; bytes: Buffer }> {
  const stats = await fs.stat(file);
  if (!stats.isFile()) {
    throw new Error('it is no regular file');
  }
  return { stats, bytes: await fs.readFile(file) };
}

const unread = (what: string, file: string, error: unknown, why: string): CheckFound =>
  wrong(
    `${what} "${file}" cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    why,
    'Name a regular file that the user of the agent may read',
  );

async function ofTokenFile(file: string): Promise<CheckFound[]> {
  let tokens: Token[];
  let stats: Stats;
  try {
    const read = await readRegular(file);
    ({ stats } = read);
    const reading = textIn(read.bytes);
    if (reading.kind === 'unreadable') throw new Error(reading.why);
    tokens = tokensFromFile(reading.text);
  } catch (error) {
    const fault = toFault(error, 'Reading the token file');
    return fault.code === 'INVALID_PARAMS'
      ? [wrong(`"${file}": ${fault.message}`, SHUT_OUT, fault.hint ?? MAKE)]
      : [unread('The token file', file, error, SHUT_OUT)];
  }
  const writes = tokens.filter(({ scope }) => scope === 'write').length;
  const counted = `"${file}" holds ${tokens.length} ${tokens.length === 1 ? 'token' : 'tokens'}, ${writes} of them for writing`;
  const modes = modeOf('the token file', file, stats);
  if (tokens.length === 0) {
    return [wrong(`"${file}" holds no token`, 'Nobody is let in', MAKE), ...modes];
  }
  return [
    writes === 0
      ? note(counted, 'Nobody can install anything with them', 'airlock token --scope write --file <file>')
      : ok(counted),
    ...modes,
  ];
}

/** A token that the agent shows to somebody else. */
async function ofShownToken(what: string, file: string): Promise<CheckFound[]> {
  const refused = `The ${what} may refuse the agent`;
  try {
    const { stats, bytes } = await readRegular(file);
    const reading = textIn(bytes);
    const token = reading.kind === 'text' ? tokenToShow(reading.text) : undefined;
    return [
      token === undefined
        ? wrong(`The token for the ${what} "${file}" holds no token`, refused, 'Write the token into it')
        : ok(`"${file}" holds a token for the ${what}`),
      ...modeOf(`the token for the ${what}`, file, stats),
    ];
  } catch (error) {
    return [unread(`The token for the ${what}`, file, error, refused)];
  }
}

const DAY_MILLIS = 24 * 60 * 60 * 1000;
/** Long enough to get a new certificate. */
const SOON_MILLIS = 14 * DAY_MILLIS;

type TlsConfig = Pick<AgentConfig, 'tls' | 'dial' | 'listen' | 'pullCa' | 'token' | 'tokenFile'>;

/** @param now milliseconds since the epoch. */
export async function checkTls(config: TlsConfig, now: number): Promise<CheckFound[]> {
  const { tls, dial, listen, pullCa } = config;
  const found: CheckFound[] = [];
  if (tls === undefined) {
    found.push(withoutTls(listen, config.token !== undefined || config.tokenFile !== undefined));
  } else {
    try {
      await Certificates.open(tls);
    } catch (error) {
      const { message, hint } = toFault(error, 'Reading the certificate');
      const fix = hint ?? 'AIRLOCK_TLS_CERT and AIRLOCK_TLS_KEY must be PEM files that belong together';
      const why = 'An agent does not start with them, and one that runs keeps the pair that it had';
      found.push(wrong(message, why, fix));
    }
  }
  const certificates = [
    { what: 'certificate of the agent', file: tls?.cert },
    { what: 'authority of clients', file: tls?.clientCa },
    { what: 'certificate for the platform', file: dial?.files.cert },
    { what: 'authority of the platform', file: dial?.files.ca },
    { what: 'authority of the servers of pulls', file: pullCa },
  ];
  for (const { what, file } of certificates) {
    found.push(...(file === undefined ? [] : await ofCertificate(what, file, now)));
  }
  for (const file of [tls?.key, dial?.files.key]) {
    found.push(...(file === undefined ? [] : await ofKey(file)));
  }
  return found;
}

function withoutTls(listen: Address, hasToken: boolean): CheckFound {
  if ('path' in listen || isLoopback(listen.host)) {
    return ok('There is no TLS, and the agent listens on this machine only');
  }
  return hasToken
    ? warning(
        `There is no TLS, and the agent listens on ${listen.host}`,
        'Tokens and plugins cross the network unencrypted',
        'Set AIRLOCK_TLS_CERT and AIRLOCK_TLS_KEY, or listen on 127.0.0.1 behind a proxy with TLS',
      )
    : ok('There is no TLS, and no token that could be read on the network');
}

async function ofCertificate(what: string, file: string, now: number): Promise<CheckFound[]> {
  const refused = 'Connections with it are refused';
  const fix = `Put a certificate that counts now into "${file}"; it is read again by itself`;
  try {
    const { bytes } = await readRegular(file);
    const { validFrom, validTo } = new X509Certificate(bytes);
    const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
    const until = new Date(to).toISOString();
    if (now > to) return [wrong(`The ${what} has expired at ${until}`, refused, fix)];
    if (now < from) {
      const at = new Date(from).toISOString();
      return [
        wrong(`The ${what} counts from ${at} on only`, refused, `Compare the clock of this machine. ${fix}`),
      ];
    }
    return to - now < SOON_MILLIS
      ? [warning(`The ${what} expires at ${until}`, `From then on: ${lower(refused)}`, fix)]
      : [ok(`The ${what} counts until ${until}`)];
  } catch (error) {
    return [unread(`The ${what}`, file, error, refused)];
  }
}

const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

async function ofKey(file: string): Promise<CheckFound[]> {
  try {
    return modeOf('a key', file, await fs.stat(file));
  } catch (error) {
    return [unread('The key', file, error, 'Connections with it are refused')];
  }
}

const addressText = (address: Address): string =>
  'path' in address ? `unix:${address.path}` : `${address.host}:${address.port}`;

/** A try that takes longer has no answer. */
const CONNECT_MILLIS = 2000;

/** Why nobody answers at an address; undefined: somebody does. Never rejects. */
const refusalAt = (address: Address): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket =
      'path' in address ? connect(address.path) : connect(address.port, everywhereIsHere(address.host));
    const end = (why: string | undefined): void => {
      socket.destroy();
      resolve(why);
    };
    socket.setTimeout(CONNECT_MILLIS, () => end('ETIMEDOUT'));
    socket.once('connect', () => end(undefined));
    socket.once('error', (error) => end(errorCode(error) ?? error.message));
  });

/** Who listens on all addresses listens on the loopback, too. */
const everywhereIsHere = (host: string): string =>
  host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;

/** The agent asks at its own address. With TLS it does not, because that would count as a refused handshake. */
export async function checkListening(address: Address, isTls: boolean): Promise<CheckFound[]> {
  const refusal = isTls ? undefined : await refusalAt(address);
  return [
    refusal === undefined
      ? ok(`The agent answers on ${addressText(address)}`)
      : wrong(
          `The agent does not answer on ${addressText(address)}: ${refusal}`,
          'Nobody can connect to it there',
          'Look at the log of the agent and at the limit of open files, then start it again',
        ),
  ];
}

const SET_LISTEN =
  'Set AIRLOCK_LISTEN to an address of this machine and a port that is free, or to unix:/path';

/** A command says whether an agent could listen there, or does. @param isTls what listens there speaks TLS. */
export async function checkAddress(address: Address, isTls: boolean): Promise<CheckFound[]> {
  const text = addressText(address);
  if (!('path' in address) && address.port === 0) {
    return [ok('The system chooses the port')];
  }
  if ((await refusalAt(address)) === undefined) {
    const isAgent = 'path' in address || isTls || (await answersHealth(address));
    return [
      isAgent
        ? ok(`A process listens on ${text}`)
        : wrong(`Another program listens on ${text}`, 'An agent cannot listen there', SET_LISTEN),
    ];
  }
  const why = 'path' in address ? await refusalOfPath(address.path) : await refusalToBind(address);
  return [
    why === undefined
      ? ok(`${text} is free for an agent`)
      : wrong(`An agent cannot listen on ${text}: ${why}`, 'It does not start', SET_LISTEN),
  ];
}

async function refusalOfPath(path: string): Promise<string | undefined> {
  try {
    await fs.access(dirname(path), fs.constants.W_OK);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const refusalToBind = ({ host, port }: { host: string; port: number }): Promise<string | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(errorCode(error) ?? error.message));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });

const answersHealth = ({ host, port }: { host: string; port: number }): Promise<boolean> =>
  new Promise((resolve) => {
    const request = get(
      { host: everywhereIsHere(host), port, path: HEALTH_PATH, timeout: CONNECT_MILLIS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });

/** @param status undefined: a command asks, which connects nowhere. */
export function checkDial(dial: AgentConfig['dial'], status: DialStatus | null | undefined): CheckFound[] {
  if (dial === undefined) {
    return [];
  }
  if (status === undefined || status === null) {
    return [
      note(
        `An agent connects to ${dial.url}`,
        'Only the agent knows whether it is connected',
        'airlock doctor --to asks it, and its log says why not',
      ),
    ];
  }
  const { state, url, since, last } = status;
  if (state === 'connected') {
    return [ok(`Connected to ${url} since ${since}`)];
  }
  return last === null
    ? [note(`Connecting to ${url} since ${since}`)]
    : [
        wrong(
          `Not connected to ${url} since ${since}`,
          `${last.why}. The platform cannot reach this workspace; the agent tries again by itself`,
          last.hint,
        ),
      ];
}

/** @param wanted the setting. */
export function checkWatch({ mode, notices }: WatchStatus, wanted: AgentConfig['watch']): CheckFound[] {
  const why = 'Edits by hand are seen later, or not at all';
  const said = notices.at(-1);
  const fix = said ?? 'Look at the log of the agent';
  switch (mode) {
    case 'off':
      return [note('The agent does not watch, as AIRLOCK_WATCH says')];
    case 'failed':
      return [warning('The watcher has failed, and is started again', why, fix)];
    case 'polling':
      return wanted === 'polling'
        ? [note('The agent looks at every file again and again, as AIRLOCK_WATCH says')]
        : [warning('The agent looks at every file again and again', why, fix)];
    case 'starting':
    case 'on':
      return said === undefined
        ? [ok(mode === 'on' ? 'The agent watches' : 'The watcher is starting')]
        : [note(`The agent watches, and has said: ${said}`)];
    default:
      return mode satisfies never;
  }
}
