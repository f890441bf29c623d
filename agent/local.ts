/** Lets a command work on a root without an agent: the same code, under the same locks, in this process. */
import type { Caller } from '../shared/api/caller.ts';
import { note, ok, settingsText, wrong } from '../shared/api/doctor.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import { isReadEffect } from '../shared/api/method.ts';
import { effectOf, type MethodName, methods } from '../shared/api/methods.ts';
import type { Installed } from '../shared/api/plugin.ts';
import type { Bundle } from '../client/bundle.ts';
import { type Booted, bootInstall } from './service/boot-install.ts';
import { type FileInstall, installFile } from './service/install-file.ts';
import { type AgentConfig, agentSettings, readAgentConfig, readWorkConfig } from './config.ts';
import type { Clock } from '../shared/clock.ts';
import type { OwnChecks } from './service/doctor.ts';
import type { Streamed } from './service/execute.ts';
import { openService } from './service/service.ts';
import { checkAddress, checkDial, checkTls, checkToken } from './transport/own-checks.ts';
import { deferred } from './worker/deferred.ts';
import { isSource, type Source } from './worker/source.ts';

/** The service of this process, with the interface of an agent. */
export type Local = Caller & {
  /** Installs a bundle. @throws Fault */
  install(bundle: Bundle, asked: FileInstall): Promise<Installed>;
  /** Installs the new bundles of a directory. */
  boot(directory: string): Promise<Booted[]>;
  /** Waits until the house-keeping is over, and frees everything. */
  close(): Promise<void>;
};

export type LocalOptions = {
  /** By setting name, as text. */
  flags: Readonly<Record<string, string | undefined>>;
  env: Readonly<Record<string, string | undefined>>;
  /** The module that runs as engine thread. */
  workerFile: URL;
  /** Receives failures that do not change the answer. */
  complain: (fault: Fault) => void;
};

/** The `by` of markers, as there is no token. */
const BY = 'local';

/** A clock that keeps the process alive until it is stopped: a command that waits for a lock has nothing else to do. */
function patientClock(): Clock & { stop: () => void } {
  const timers = new Set<NodeJS.Timeout>();
  return {
    now: Date.now,
    after(millis, call) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        call();
      }, millis);
      timers.add(timer);
      return () => {
        timers.delete(timer);
        clearTimeout(timer);
      };
    },
    stop: () => timers.forEach((timer) => clearTimeout(timer)),
  };
}

/** Streams without a connection. Each is read at most once. */
class Streams {
  readonly #open = new Map<number, readonly object[] | Uint8Array | Source>();
  #last = 0;

  open({ answer, lines }: Streamed<object>): object {
    if (lines === undefined) {
      return answer;
    }
    this.#last += 1;
    this.#open.set(this.#last, lines);
    return { ...answer, stream: this.#last };
  }

  async *receive(stream: number): AsyncGenerator<Uint8Array, void, undefined> {
    const rest = this.#open.get(stream) ?? [];
    this.#open.delete(stream);
    if (rest instanceof Uint8Array) {
      yield rest;
      return;
    }
    if (isSource(rest)) {
      yield* piecesOf(rest);
      return;
    }
    for (const line of rest) {
      yield Buffer.from(`${JSON.stringify(line)}\n`, 'utf8');
    }
  }
}

/** The pieces of a source. A reader that stops early cancels it. */
async function* piecesOf(source: Source): AsyncGenerator<Uint8Array, void, undefined> {
  let isLast = false;
  try {
    while (!isLast) {
      const piece = await source.pull();
      ({ isLast } = piece);
      if (piece.bytes.length > 0) yield piece.bytes;
    }
  } finally {
    if (!isLast) source.cancel();
  }
}

/** Stops waiting when the signal is aborted. @throws Fault CANCELLED */
async function unlessAborted<T>(answer: Promise<T>, method: string, signal: AbortSignal): Promise<T> {
  const aborted = deferred<never>();
  const abort = (): void => aborted.reject(new Fault('CANCELLED', `"${method}" was cancelled`));
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) {
      abort();
    }
    return await Promise.race([answer, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/**
 * The checks of an agent that would start with these settings. What only a running agent knows is left out.
 *
 * @param server the process that serves the root, in words.
 */
function ownChecks(
  flags: LocalOptions['flags'],
  env: LocalOptions['env'],
  server: () => Promise<string | undefined>,
): OwnChecks {
  const agent: OwnChecks['agent'] = async () => {
    const holder = await server().catch(() => undefined);
    return [
      holder === undefined
        ? note('No agent serves this root, as far as its locks tell')
        : ok(`An agent serves this root: ${holder}`),
    ];
  };
  let config: AgentConfig;
  try {
    config = readAgentConfig(flags, env);
  } catch (error) {
    const { message, hint } = toFault(error, 'Reading the settings');
    const fix = hint ?? 'See "airlock agent --help"';
    return {
      agent,
      settings: () => Promise.resolve([wrong(message, 'An agent does not start with them', fix)]),
    };
  }
  return {
    agent,
    settings: () => Promise.resolve([ok(settingsText(config.effective))]),
    token: () => checkToken(config, false),
    tls: () => checkTls(config, Date.now()),
    listen: () => checkAddress(config.listen, config.tls !== undefined),
    dial: () => Promise.resolve(checkDial(config.dial, undefined)),
  };
}

/**
 * Writes nothing before the first change, so a user who can only read can run queries.
 *
 * @throws Fault INVALID_PARAMS; later READ_ONLY, NO_SPACE, INTERNAL if the root cannot be used.
 */
export function openLocal({ flags, env, workerFile, complain }: LocalOptions): Local {
  const config = readWorkConfig(flags, env);
  process.umask(0o022);
  const clock = patientClock();
  const service = openService(config, {
    workerFile,
    clock,
    about: () => ({}),
    tell: () => undefined,
    complain: (fault) => complain(fault),
    self: { settings: agentSettings(flags, env), own: ownChecks(flags, env, () => service.server()) },
  });
  const streams = new Streams();
  const call = async (
    method: MethodName,
    params: unknown,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<unknown> => {
    if (method === 'session.start' || method === 'install.begin') {
      throw new Fault('INVALID_PARAMS', `"${method}" needs a connection to an agent`, {
        hint: 'Start an agent on this root, and name its address with --to',
      });
    }
    const isQuery = isReadEffect(effectOf(method, params));
    if (!isQuery) {
      await service.prepare();
    }
    // The parameters belong to the method, which the compiler cannot derive from the table.
    const answer: Promise<unknown> = service.execute(method, params as never, BY);
    // A change that has begun is finished. Only queries are abandoned, and what its caller can abort afterwards.
    const isLeft = isQuery || methods[method].effect === 'upload';
    const executed = await (isLeft && signal ? unlessAborted(answer, method, signal) : answer);
    return methods[method].streams ? streams.open(executed as Streamed<object>) : executed;
  };
  return {
    call: call as Caller['call'],
    receive: (stream) => streams.receive(stream),
    install: async (bundle, asked) => {
      await service.prepare();
      return installFile(service, bundle, asked, BY);
    },
    boot: async (directory) => {
      await service.prepare();
      return bootInstall(service, config.root, directory);
    },
    close: async () => {
      await service.drain();
      await service.close();
      // Timers that only forget old entries need not be waited for.
      clock.stop();
    },
  };
}
