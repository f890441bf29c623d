/** How a command reaches an agent (URL, token, certificates) or a root. */
import { opendir, readFile } from 'node:fs/promises';

import { type ConnectOptions, type Session, type TlsOptions, openSession } from '../client/index.ts';
import { readSettings, settingsOf } from '../shared/api/setting.ts';
import { settings } from '../shared/api/settings.ts';
import { Fault } from '../shared/api/fault.ts';
import { unreadable } from '../shared/api/unreadable.ts';
import { isPluginName } from '../shared/format/name.ts';
import { textIn } from '../shared/format/text.ts';
import { tokenToShow } from '../shared/format/token-file.ts';
import type { Context } from './command.ts';

/** The settings of every command that speaks to an agent. */
export const REACH_SETTINGS = settingsOf(settings, 'client');

/** The URL of the agent; undefined if none is named. */
export function urlOf({ given, env }: Context): string | undefined {
  const { to } = REACH_SETTINGS;
  return readSettings({ to }, given.settings, env).to;
}

/**
 * Whether the command asks an agent: `--to` or `--root` decide; else the agent of the environment, if there is one; else
 * the root.
 *
 * @param rootOnly options of the command that work only with `--root`.
 * @throws Fault INVALID_PARAMS if options contradict each other.
 */
export function usesAgent(context: Context, rootOnly: readonly string[] = []): boolean {
  const { settings: flags, strings, booleans } = context.given;
  const { to, root } = flags;
  if (to !== undefined && root !== undefined) {
    throw new Fault(
      'INVALID_PARAMS',
      '--to and --root exclude each other: --to asks an agent, --root works on the disk',
      {
        hint: 'Leave one of them out',
      },
    );
  }
  const isAsked = to !== undefined || (root === undefined && urlOf(context) !== undefined);
  const idle = rootOnly.find((name) => strings[name] !== undefined || booleans[name] === true);
  if (isAsked && idle !== undefined) {
    throw new Fault('INVALID_PARAMS', `--${idle} works only with --root, not with an agent`, {
      hint: `Leave --${idle} out, or use --root`,
    });
  }
  return isAsked;
}

/** A root that cannot be listed has no plugins. If it was named, that is a mistake. @throws Fault NOT_FOUND, INVALID_PARAMS */
export async function mustBeThere(root: string): Promise<void> {
  try {
    await (await opendir(root)).close();
  } catch (error) {
    const hint = 'Name a directory that holds plugins, and that you may read, with --root';
    throw unreadable(`The root "${root}"`, error, hint);
  }
}

/**
 * Opens a session. It reads token and certificates each time, because they may have been replaced.
 *
 * @param more which events to receive, and from which position.
 * @throws Fault INVALID_PARAMS without a URL; UNREACHABLE, UNAUTHENTICATED …
 */
export async function openFor(
  context: Context,
  more: Pick<ConnectOptions, 'events' | 'resume' | 'onEvent' | 'signal'> = {},
): Promise<Session> {
  const url = urlOf(context);
  if (url === undefined) {
    throw new Fault('INVALID_PARAMS', 'No agent is named', {
      hint: 'Add --to ws://host:7423, wss://host:7423 or ws+unix:/path, or set AIRLOCK_URL',
    });
  }
  const token = await tokenOf(context);
  const { signal } = context;
  const tls = await tlsOf(context);
  return openSession({ signal, ...more, url, token, tls, client: `airlock ${context.version}` });
}

/** The certificates of the settings. */
async function tlsOf({ given, env }: Context): Promise<TlsOptions> {
  const { ca, cert, key } = REACH_SETTINGS;
  const files = readSettings({ ca, cert, key }, given.settings, env);
  return {
    ca: await readNamed('ca', files.ca),
    cert: await readNamed('cert', files.cert),
    key: await readNamed('key', files.key),
  };
}

async function readNamed(name: 'ca' | 'cert' | 'key', file: string | undefined): Promise<Buffer | undefined> {
  try {
    return file === undefined ? undefined : await readFile(file);
  } catch (error) {
    throw unreadable(`The file "${file}"`, error, `Name a file that you may read with --${name}`);
  }
}

/** The token of the environment, else the first token with scope `write` in the token file, else its first token. */
async function tokenOf({ given, env }: Context): Promise<string | undefined> {
  const { token, tokenFile } = readSettings(
    { token: settings.token, tokenFile: settings.tokenFile },
    given.settings,
    env,
  );
  if (token !== undefined || tokenFile === undefined) {
    return token;
  }
  let text: string;
  try {
    const reading = textIn(await readFile(tokenFile));
    if (reading.kind === 'unreadable') throw new Error(reading.why);
    text = reading.text;
  } catch (error) {
    const hint = 'Name a file that you may read with --token-file, or set AIRLOCK_TOKEN';
    throw unreadable(`The token file "${tokenFile}"`, error, hint);
  }
  return tokenToShow(text);
}

/** @throws Fault INVALID_PARAMS if the name is not valid. */
export function checkName(plugin: string): void {
  if (!isPluginName(plugin)) {
    throw new Fault('INVALID_PARAMS', `"${plugin}" is not a plugin name`, {
      hint: 'List the plugins with "airlock list"',
    });
  }
}
