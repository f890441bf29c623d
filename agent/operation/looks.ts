/** Questions that change nothing: each is asked of an engine thread, for hashing and listing take their time. */
import { Fault } from '../../shared/fault.ts';
import type { Installed, PluginInfo, Verification } from '../../shared/methods.ts';
import type { Recovered } from '../install/recover.ts';
import type { FromEngine, ToEngine } from '../worker/messages.ts';
import type { Surroundings } from './around.ts';
import { deferred } from './deferred.ts';
import type { Pool } from './pool.ts';

export class Looks {
  readonly #pool: Pick<Pool, 'lease'>;
  readonly #complain: Surroundings['complain'];

  constructor(pool: Pick<Pool, 'lease'>, complain: Surroundings['complain']) {
    this.#pool = pool;
    this.#complain = complain;
  }

  async list(): Promise<PluginInfo[]> {
    return (await this.#ask({ kind: 'list' }, 'listed')).plugins;
  }

  /** Undefined if there is nothing of that name. */
  async get(plugin: string): Promise<PluginInfo | undefined> {
    return (await this.#ask({ kind: 'get', plugin }, 'got')).plugin;
  }

  async verify(plugin: string): Promise<Verification> {
    return (await this.#ask({ kind: 'verify', plugin }, 'verified')).verification;
  }

  /** Finishes or undoes what a crash has left half-way, of every plugin. */
  async recover(): Promise<Recovered[]> {
    return (await this.#ask({ kind: 'recover' }, 'recovered')).recovered;
  }

  /** The answer of an operation that has ended, if it is remembered. */
  async recall(operationId: string): Promise<Installed | undefined> {
    return (await this.#ask({ kind: 'recall', operationId }, 'recalled')).answer;
  }

  async #ask<K extends FromEngine['kind']>(question: ToEngine, kind: K): Promise<FromEngine & { kind: K }> {
    const answer = deferred<FromEngine & { kind: K }>();
    const isAnswer = (message: FromEngine): message is FromEngine & { kind: K } => message.kind === kind;
    const engine = await this.#pool.lease({
      message: (message) => {
        if (isAnswer(message)) {
          answer.resolve(message);
        } else if (message.kind === 'failed') {
          answer.reject(Fault.from(message.fault));
        } else if (message.kind === 'complaint') {
          this.#complain(Fault.from(message.fault), message.stack);
        }
      },
      crash: (fault) => answer.reject(fault),
    });
    engine.say(question);
    return answer.promise;
  }
}
