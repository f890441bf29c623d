/** The agent's configuration, from the table of settings. */
import type { SettingInfo } from '../shared/api/doctor.ts';
import { type Texts, effectiveSettings, partOf, readSettings, settingsOf } from '../shared/api/setting.ts';
import { type SettingsOf, settings } from '../shared/api/settings.ts';
import { Fault } from '../shared/api/fault.ts';
import type { InstallPolicy } from './store/context.ts';
import type { Timeouts } from './service/upload.ts';

/** The settings for work on a root, and those of each part together. */
export type WorkConfig = SettingsOf<'work' | 'boot' | 'pull'> & { policy: InstallPolicy; timeouts: Timeouts };

/** The checked configuration of an agent. */
export type AgentConfig = Omit<SettingsOf<'agent'>, 'dial'> &
  WorkConfig & {
    /** The platform to which the agent connects; undefined: it only listens. */
    dial: DialConfig | undefined;
    tls: { cert: string; key: string; clientCa: string | undefined } | undefined;
    /** The agent's restart command for cold changes; undefined: the caller of a change restarts the runtime. */
    restart: { command: string; timeout: number; env: Texts } | undefined;
    /** All settings as text, and where they come from, without secrets. */
    effective: readonly SettingInfo[];
  };

/** Where the agent connects to, as which workspace, and the files with what it shows there. */
export type DialConfig = {
  url: string;
  workspace: string;
  files: Record<'token' | 'ca' | 'cert' | 'key', string | undefined>;
};

/** All commands on a root read the same policy, also those that install nothing. */
const WORK = settingsOf(settings, 'work', 'boot', 'pull');

/** @throws Fault INVALID_PARAMS that names every bad value. */
export function readAgentConfig(flags: Texts, env: Texts): AgentConfig {
  const read = readSettings(settingsOf(settings, 'agent'), flags, env);
  const { restartCommand: command, restartTimeout: timeout } = read;
  refuseTokenForAll(read);
  return {
    ...workConfigOf(read, command === undefined ? 'caller' : 'command', env),
    ...read,
    dial: dialOf(read),
    tls: tlsOf(read),
    restart: command === undefined ? undefined : { command, timeout, env: forCommands(env) },
    effective: agentSettings(flags, env),
  };
}

/** The settings of an agent as text, and where they come from, without secrets. */
export const agentSettings = (flags: Texts, env: Texts): SettingInfo[] =>
  effectiveSettings(settingsOf(settings, 'agent'), flags, env);

/** Who may write names the URL of a pull. So the owner's token would go to any server that he names. */
function refuseTokenForAll({ pullTokenFile, pullFrom }: SettingsOf<'agent'>): void {
  if (pullTokenFile !== undefined && pullFrom === undefined) {
    throw new Fault(
      'INVALID_PARAMS',
      'The agent has a token for pulls, and it is not said for which servers',
      {
        hint: `Set ${settings.pullFrom.env} to the servers that may get the token, such as https://plugins.example.com`,
      },
    );
  }
}

/** Headers hold printable ASCII only. */
const WORKSPACE_IN_HEADER = /^[\u0021-\u007e]+$/;

function dialOf(read: SettingsOf<'agent'>): DialConfig | undefined {
  const { dial: url, workspace, dialTokenFile: token, dialCa: ca, dialCert: cert, dialKey: key } = read;
  if (url === undefined) {
    return undefined;
  }
  if (workspace === undefined || !WORKSPACE_IN_HEADER.test(workspace)) {
    const is = workspace === undefined ? 'is not set' : 'holds other characters than printable ASCII';
    throw new Fault('INVALID_PARAMS', `The agent connects to a platform, and the id of its workspace ${is}`, {
      hint: `Set ${settings.workspace.env} to the id by which the platform knows the workspace`,
    });
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new Fault(
      'INVALID_PARAMS',
      'A certificate for the platform needs its key, and a key its certificate',
      {
        hint: `Set ${settings.dialCert.env} and ${settings.dialKey.env}`,
      },
    );
  }
  return { url, workspace, files: { token, ca, cert, key } };
}

function tlsOf(read: SettingsOf<'agent'>): AgentConfig['tls'] {
  const { listen, tlsCert: cert, tlsKey: key, tlsClientCa: clientCa } = read;
  if (cert === undefined && key === undefined && clientCa === undefined) {
    return undefined;
  }
  if (cert === undefined || key === undefined) {
    throw new Fault('INVALID_PARAMS', 'TLS needs both a certificate and its key', {
      hint: `Set ${settings.tlsCert.env} and ${settings.tlsKey.env}`,
    });
  }
  if ('path' in listen) {
    throw new Fault('INVALID_PARAMS', 'A Unix socket does not speak TLS', {
      hint: 'Leave out the settings of TLS, or listen on host:port',
    });
  }
  return { cert, key, clientCa };
}

/** @throws Fault INVALID_PARAMS that names every bad value. */
export const readWorkConfig = (flags: Texts, env: Texts): WorkConfig =>
  workConfigOf(readSettings(WORK, flags, env), 'caller', env);

function workConfigOf(
  read: SettingsOf<'work' | 'boot' | 'pull'>,
  restarts: InstallPolicy['restarts'],
  env: Texts,
): WorkConfig {
  const { probeCommand: command, probeTimeout: timeout } = read;
  const probe = command === undefined ? undefined : { command, timeout, env: forCommands(env) };
  return {
    ...read,
    policy: { ...partOf(WORK, read, 'policy'), restarts, probe },
    timeouts: partOf(WORK, read, 'timeouts'),
  };
}

/** The environment of the owner's commands: without the token, which their children could pass on. */
function forCommands(env: Texts): Texts {
  const { [settings.token.env]: _token, ...others } = env;
  return others;
}
