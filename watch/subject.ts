/** One plugin under watch: what is known of it, and the verdict when its changes have settled. */
import { join } from 'node:path';

import { MARKER } from '../shared/layout.ts';
import { isPluginName } from '../shared/name.ts';
import { type FileEntry, modeOf } from '../shared/tree.ts';
import { Ledger } from './ledger.ts';
import { type Spare, lookAt, statOf } from './look.ts';
import { type EyesFor, Nest } from './nest.ts';
import type { Admission, Ports, WatchEvent } from './ports.ts';

type Admitted = Extract<Admission, { status: 'admitted' }>;

/** A plugin that is swapped while it is looked at is looked at again; after so many times whatever was seen is told. */
const LOOKS = 10;
/** The times of a file system are as coarse as the kernel's tick. */
const TICK_MILLIS = 20;

export class Subject {
  readonly name: string;
  /** In the order of the roots. */
  readonly nests: readonly Nest[];
  readonly #ports: Ports;
  readonly #ledger = new Ledger();
  #wasThere = false;
  #installId: string | undefined;
  #generation: string | undefined;

  constructor(name: string, ports: Ports) {
    this.name = name;
    this.#ports = ports;
    this.nests = isPluginName(name) ? ports.roots.map((root) => new Nest(root, name)) : [];
  }

  /** What lies there now is what the runtime has loaded. */
  load(): void {
    this.#ledger.load();
  }

  /** Looks at what has changed and judges it; undefined where there is nothing to tell. */
  async settle(eyes: EyesFor, stir: () => void): Promise<WatchEvent | undefined> {
    let news = false;
    let admission: Admission = { status: 'absent' };
    for (let i = 0; i < LOOKS; i++) {
      for (const nest of this.nests) await nest.settle(eyes, this.#ports.ignore, stir);
      admission = this.nests.length === 0 ? admission : await this.#ports.admit(this.name);
      if (admission.status !== 'admitted') break;
      const { path } = admission;
      const nest = this.nests.find(({ directory }) => directory === path);
      if (nest === undefined) break;
      const looked = await this.#look(admission, nest);
      news = looked.news || news;
      if (!looked.again && (await nest.isSame())) break;
    }
    return this.#judge(admission, news);
  }

  async #look(admission: Admitted, nest: Nest): Promise<{ news: boolean; again: boolean }> {
    const { path: root, generation } = admission;
    const { ignore } = this.#ports;
    let paths = nest.take();
    if (generation !== this.#generation) paths = undefined;
    if (paths !== undefined) {
      let news = false;
      for (const path of paths) {
        const sight = await lookAt(root, path, ignore);
        if (sight.kind === 'directory') {
          // It may have come before it was watched: watch anew, then look at everything.
          nest.reopen();
          news = this.#ledger.replace(path, sight.seen) || news;
          continue;
        }
        const seen = sight.kind === 'file' ? sight.seen : undefined;
        // What was no file may have been a directory: what lay below it is gone, too.
        news =
          (this.#ledger.get(path) === undefined
            ? this.#ledger.replace(path, seen === undefined ? [] : [seen])
            : this.#ledger.set(path, seen)) || news;
      }
      return { news, again: nest.isStale };
    }
    const sight = await lookAt(root, '', ignore, await this.#spare(admission));
    this.#generation = generation;
    return { news: this.#ledger.replace('', sight.kind === 'directory' ? sight.seen : []), again: false };
  }

  /**
   * The marker is the last file of an install: what has not changed since is as its receipt says, or as it was when it
   * was last read. Every change of a file, its mode or its name sets its ctime, which nobody can set.
   */
  async #spare({ path: root, generation, installId }: Admitted): Promise<Spare> {
    const sealed = (await statOf(join(root, MARKER)).catch(() => undefined))?.ctimeMs ?? 0;
    let known = (path: string): FileEntry | undefined => {
      const seen = this.#ledger.get(path);
      return seen === undefined || 'odd' in seen ? undefined : seen;
    };
    if (generation !== this.#generation) {
      const list = installId === undefined ? undefined : await this.#ports.installed(root, installId);
      const files = new Map(list?.map((file) => [file.path, file]));
      known = (path) => files.get(path);
    }
    return (path, stats) => {
      const file = stats.ctimeMs < sealed - TICK_MILLIS ? known(path) : undefined;
      return file?.size === stats.size && file.mode === modeOf(stats.mode) ? file : undefined;
    };
  }

  #judge(admission: Admission, news: boolean): WatchEvent | undefined {
    const isThere = admission.status === 'admitted';
    const turned = isThere !== this.#wasThere;
    this.#wasThere = isThere;
    const installId = isThere ? admission.installId : undefined;
    const swapped = installId !== undefined && installId !== this.#installId;
    this.#installId = installId ?? this.#installId;
    if (!turned && !(isThere && (news || swapped))) return undefined;
    const { kind, reasons } = this.#ledger.judge(isThere, isThere ? admission.hotReload : undefined);
    const skills = this.#ledger.skills();
    if (kind !== 'cold') this.#ledger.load();
    return {
      plugin: this.name,
      kind,
      reasons,
      skills,
      cause: swapped ? { by: 'swap', installId } : { by: 'edit' },
      status: admission.status,
      detail: admission.status === 'refused' ? admission.why : undefined,
      generation: isThere ? admission.generation : undefined,
    };
  }

  async close(): Promise<void> {
    for (const nest of this.nests) await nest.close();
  }
}
