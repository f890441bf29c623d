/** Questions that change nothing. */
import { Fault } from '../../shared/api/fault.ts';
import { type Basis, type Reload, classifyLoaded, reloadOf } from '../../shared/rule/classify.ts';
import type { ClassifyParams } from '../../shared/api/loading.ts';
import type { Installed, PluginInfo, Verification } from '../../shared/api/methods.ts';
import type { Status } from '../../shared/api/maintenance.ts';
import type { Ignore } from '../../shared/format/tree.ts';
import type { Admission, Installed as Files, Known } from '../../watch/ports.ts';
import type { Ask } from '../worker/client.ts';

export class Queries {
  readonly #ask: Ask;
  readonly #ignore: Ignore | undefined;

  /** @param ignore what is left out of a classification beside the marker. */
  constructor(ask: Ask, ignore?: Ignore) {
    this.#ask = ask;
    this.#ignore = ignore;
  }

  async list(): Promise<PluginInfo[]> {
    return (await this.#ask({ kind: 'list' }, 'listed').answer).plugins;
  }

  /** @throws Fault NOT_FOUND if there is nothing of that name. */
  async get(plugin: string): Promise<PluginInfo> {
    const found = (await this.#ask({ kind: 'get', plugin }, 'got').answer).plugin;
    if (found === undefined) {
      throw new Fault('NOT_FOUND', `There is no plugin "${plugin}" here`, {
        hint: 'See what there is with plugin.list',
      });
    }
    return found;
  }

  async verify(plugin: string): Promise<Verification> {
    return (await this.#ask({ kind: 'verify', plugin }, 'verified').answer).verification;
  }

  /** What is taken to be loaded of a plugin, and which generation that is. */
  async basis(plugin: string): Promise<{ basis: Basis; generation: string | null }> {
    return this.#ask({ kind: 'basis', plugin }, 'basis-found').answer;
  }

  /** What the gate says of a name. */
  async admission(plugin: string): Promise<Admission> {
    return (await this.#ask({ kind: 'admission', plugin }, 'admission-found').answer).admission;
  }

  /** A version as it was installed; undefined where nobody knows. */
  async installedFiles(plugin: string, installId: string): Promise<Files | undefined> {
    return (await this.#ask({ kind: 'installed-files', plugin, installId }, 'files-found').answer).installed;
  }

  /**
   * What is known to be loaded of a plugin whose version of that generation is live; undefined if that is still what was
   * known by that stamp.
   */
  async knownLoaded(
    plugin: string,
    generation: string,
    stamp: string | undefined,
  ): Promise<Known | undefined> {
    return (await this.#ask({ kind: 'known-loaded', plugin, generation, stamp }, 'known-found').answer).known;
  }

  /** What an install of these files would mean for the runtime. */
  async classify({ plugin, list, hotReload }: ClassifyParams): Promise<Reload> {
    const { basis } = await this.basis(plugin);
    return reloadOf(classifyLoaded(basis, list, { hotReload, ignore: this.#ignore }), false);
  }

  /** What is left to an operator, of every plugin. */
  async troubles(): Promise<Status['troubles']['items']> {
    return (await this.#ask({ kind: 'troubles' }, 'troubled').answer).troubles;
  }

  /** The answer of an install or rollback that has ended, if it is remembered. */
  async recall(operationId: string): Promise<Installed | undefined> {
    return (await this.#ask({ kind: 'recall', operationId }, 'recalled').answer).answer;
  }
}
