/** The entrance of the agent: tokens and certificates, which are watched while it runs, and the address on which it listens. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import { atMost } from '../../shared/clock.ts';
import { Certificates } from './certificates.ts';
import type { AgentConfig } from '../config.ts';
import type { Log } from '../log.ts';
import type { Known } from './auth.ts';
import { type ListenOptions, type Listening, listen } from './server.ts';
import { Tokens } from './tokens.ts';

/** How often (milliseconds) the files are checked, and whether the tokens of sessions are still valid. */
const LOOK_MILLIS = 1000;

/** Only the agent's own user and root can open a Unix socket of mode 0600. */
const LOCAL: Known = { caller: { scope: 'write', label: 'socket' }, isValid: () => true };

type Ingress = {
  options: Omit<ListenOptions, 'session' | 'probes' | 'hear' | 'traffic'>;
  /** Watches tokens and certificates from now on. @returns how to stop. */
  watch(server: Listening): () => void;
};

/** @throws Fault INVALID_PARAMS if no token is configured where one is needed, or if TLS cannot be used. */
export async function openIngress(config: AgentConfig, log: Log): Promise<Ingress> {
  const { listen: address, allowOrigin, allowHost, statusPage } = config;
  const isUnix = 'path' in address;
  const complain = (fault: Fault): void => log.warn({ code: fault.code }, fault.message);
  // An agent that connects to a platform may have no token of its own. Then it lets nobody in, and answers for its health.
  const isRequired = !isUnix && config.dial === undefined;
  const tokens = await Tokens.open(config.token, config.tokenFile, complain, isRequired);
  const certificates = config.tls === undefined ? undefined : await Certificates.open(config.tls);
  return {
    options: {
      address,
      allowOrigin,
      allowHost,
      statusPage,
      tls: certificates?.context,
      refresh: () => atMost(LOOK_MILLIS, tokens.refresh()),
      authenticate: (header) => (isUnix && header === undefined ? LOCAL : tokens.authenticate(header)),
      log,
    },
    watch: (server) => {
      const hasToken = config.token !== undefined || config.tokenFile !== undefined;
      if (server.place === 'network' && certificates === undefined && hasToken) {
        log.warn({ host: server.host }, 'there is no TLS: tokens and plugins cross this network unencrypted');
      }
      let complaint = '';
      const lookAtTokens = async (): Promise<void> => {
        await tokens.refresh();
        server.review();
      };
      const lookAtCertificates = async (): Promise<void> => {
        try {
          const changed = await certificates?.refresh();
          if (changed !== undefined) {
            server.useTls(changed);
            complaint = '';
            log.info('the TLS certificate was read again');
          }
        } catch (error) {
          const fault = toFault(error, 'Reading the TLS certificate');
          if (fault.message !== complaint) {
            complain(fault);
          }
          complaint = fault.message;
        }
      };
      const looks = [unlessBusy(lookAtTokens), unlessBusy(lookAtCertificates)];
      const timer = setInterval(() => looks.forEach((look) => look()), LOOK_MILLIS);
      timer.unref();
      return () => clearInterval(timer);
    },
  };
}

/** A disk that does not answer is not asked again every second. @param look never rejects. */
function unlessBusy(look: () => Promise<void>): () => void {
  let isBusy = false;
  return () => {
    if (!isBusy) {
      isBusy = true;
      void look().finally(() => {
        isBusy = false;
      });
    }
  };
}

/** @throws Fault INVALID_PARAMS with a hint if the address cannot be bound. */
export async function listenOr({ listen: address }: AgentConfig, options: ListenOptions): Promise<Listening> {
  try {
    return await listen(options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const at = 'path' in address ? address.path : `${address.host}:${address.port}`;
    throw new Fault('INVALID_PARAMS', `Listening on ${at} failed: ${why}`, {
      cause: error,
      hint: 'Set AIRLOCK_LISTEN to an address of this machine and a port that is free, or to unix:/path',
    });
  }
}
