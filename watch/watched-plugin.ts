/** One plugin under watch: what is known of it, and the verdict when its changes have settled. */
import { join } from 'node:path';

import { MARKER } from '../shared/format/layout.ts';
import { isPluginName } from '../shared/format/name.ts';
import { type FileEntry, counts } from '../shared/format/tree.ts';
import { Ledger } from './ledger.ts';
import { type HardLinks, lookAt, statOf } from './look.ts';
import { type FileEventsFor, DirectoryWatch } from './directory-watch.ts';
import type { Admission, Known, Ports, WatchEvent } from './ports.ts';
import { fileOf, isBefore, isSince, spareOf } from './trust.ts';

type Admitted = Extract<Admission, { status: 'admitted' }>;

/** Changes of one plugin that are no further apart are one burst. */
export const SETTLE_MILLIS = 250;
/** A plugin that never stands still is judged all the same, this often. */
export const SETTLE_MAX_MILLIS = 5000;
/** A plugin that is swapped while it is looked at is looked at again; after so many times whatever was seen is told. */
const LOOKS = 10;
/** What an editor leaves for a moment while it saves makes a verdict cold: one amid changes is held back so many times in a row. */
const HOLDS = 2;

export class WatchedPlugin {
  readonly name: string;
  /** In the order of the roots. */
  readonly nests: readonly DirectoryWatch[];
  readonly #ports: Ports;
  readonly #signal: AbortSignal;
  readonly #ledger = new Ledger();
  /** What the gate has admitted at last. */
  #admitted: Admitted | undefined;
  /** The generation whose files the ledger has. */
  #generation: string | undefined;
  #installId: string | undefined;
  /** Which directory it lay in. */
  #identity: string | undefined;
  /** Of a generation that is looked at for the first time: its files as they were installed. */
  #installed: readonly FileEntry[] | undefined;
  /** As of the last look at everything. */
  #shared: HardLinks = new Map();
  /** When the marker was written, as of the last look at everything. */
  #sealed: number | undefined;
  /** What was last known elsewhere of what is loaded. */
  #stamp: string | undefined;
  /** How many verdicts in a row were held back: what they were about is still to be told. */
  #held = 0;
  /** Since when, by the clock, they were; undefined: none is. */
  #heldSince: number | undefined;
  /** Since when what has changed was perhaps not seen: by the clock of the file system, whose times it is compared with. */
  #at = 0;

  /** @param signal ends the reading of files. */
  constructor(name: string, ports: Ports, signal: AbortSignal) {
    this.name = name;
    this.#ports = ports;
    this.#signal = signal;
    this.nests = isPluginName(name) ? ports.roots.map((root) => new DirectoryWatch(root, name)) : [];
  }

  /** Nothing lies there, and nothing ever did that could be loaded. */
  get isBlank(): boolean {
    return (
      this.#generation === undefined &&
      this.nests.every((directoryWatch) => directoryWatch.identity === undefined)
    );
  }

  /** What lies there now is what the runtime has loaded. */
  load(): void {
    this.#ledger.load();
  }

  /** The runtime has loaded a version as it was at a moment: no other one, and nothing that was edited since. */
  async report(generation: string, at: number): Promise<void> {
    if (this.#admitted === undefined || generation !== this.#generation) return;
    const { path: root, installId } = this.#admitted;
    const installed = installId === undefined ? undefined : await this.#ports.installed(root, installId);
    const loaded = await this.#unchanged(root, at);
    for (const path of this.#ledger.among(installed?.files)) {
      // As it was installed it was read, unless it was made so since; what comes and goes beside it says nothing.
      const stats = await statOf(join(root, path)).catch(() => undefined);
      if (stats === undefined || isBefore(stats, at)) loaded.push(path);
    }
    // What lies there by now may be of another version, and older.
    const directoryWatch = this.nests.find(({ directory }) => directory === root);
    if (await directoryWatch?.isSame()) this.#ledger.accept(loaded);
  }

  /** Of the paths that differ from what is loaded those that do so since a moment (milliseconds since the epoch). */
  async #unchanged(root: string, at: number): Promise<string[]> {
    const paths: string[] = [];
    for (const path of this.#ledger.differing()) {
      if (await isSince(root, path, at)) paths.push(path);
    }
    return paths;
  }

  /**
   * Takes over what is known elsewhere of what is loaded, and returns it if that is news.
   *
   * @param edited what lies there was edited just now: it is not loaded for nobody saying anything.
   */
  async learn(edited = false): Promise<Known['loaded'] | undefined> {
    if (this.#admitted === undefined) return undefined;
    const { path: root, generation } = this.#admitted;
    const known = await this.#ports.loaded?.(this.name, generation, this.#stamp);
    if (known === undefined) return undefined;
    const { stamp, loaded } = known;
    this.#stamp = stamp;
    if (loaded === 'unknown') {
      this.#ledger.unload();
    } else if (loaded === 'live') {
      if (!edited) this.#ledger.load();
    } else {
      this.#ledger.load(loaded.files);
      if (loaded.at !== undefined) this.#ledger.accept(await this.#unchanged(root, loaded.at));
    }
    return loaded;
  }

  /** Looks for the first time: what lies there is told to nobody. */
  async begin(fileEvents: FileEventsFor, stir: () => void): Promise<void> {
    await this.settle(fileEvents, stir);
    this.#held = 0;
    if (this.#ports.loaded === undefined) this.load();
    else await this.learn();
  }

  /**
   * Looks at what has changed and judges it; nothing where there is nothing to tell.
   *
   * @param stir asks for another time.
   * @param amid the changes go on, and have for as long as anybody waits for their end.
   */
  async settle(fileEvents: FileEventsFor, stir: () => void, amid = false): Promise<WatchEvent[]> {
    let news = this.#held > 0;
    let stirred = false;
    let polled: DirectoryWatch | undefined;
    let admission: Admission = { status: 'absent' };
    for (let i = 0; i < LOOKS; i++) {
      this.#at = Date.now();
      for (const directoryWatch of this.nests) {
        await directoryWatch.settle(fileEvents, this.#ports.ignore, stir);
      }
      admission = this.nests.length === 0 ? admission : await this.#ports.admit(this.name);
      if (admission.status !== 'admitted') break;
      const { path } = admission;
      const directoryWatch = this.nests.find(({ directory }) => directory === path);
      if (directoryWatch === undefined) break;
      this.#at = Math.min(this.#at, directoryWatch.seen);
      const looked = await this.#look(admission, directoryWatch);
      news = looked.news || news;
      stirred = directoryWatch.isStirred;
      polled = directoryWatch.isPolled ? directoryWatch : undefined;
      if (!looked.again && (await directoryWatch.isSame())) break;
    }
    const events = await this.#judge(admission, news);
    this.#installed = undefined;
    const isEdit = events.every(({ cause, status }) => cause.by === 'edit' && status === 'admitted');
    if (events.length > 0 && isEdit && (await this.#isHeldBack(events, amid, stirred, polled))) {
      this.#held += 1;
      this.#heldSince ??= this.#ports.clock.now();
      stir();
      return [];
    }
    this.#held = 0;
    this.#heldSince = undefined;
    // Once it is told.
    const last = events.at(-1);
    if (last?.cause.by === 'edit' && last.kind !== 'cold') this.#ledger.load();
    return events;
  }

  /**
   * Whether a verdict waits: its burst goes on, so that the next look sees more of it.
   *
   * @param stirred something has changed since it was looked at. @param polled what sees to it by polling.
   */
  async #isHeldBack(
    events: readonly WatchEvent[],
    amid: boolean,
    stirred: boolean,
    polled: DirectoryWatch | undefined,
  ): Promise<boolean> {
    const isCold = events.some(({ kind }) => kind === 'cold');
    if (isCold && (amid || stirred) && this.#held < HOLDS) return true;
    const now = this.#ports.clock.now();
    if (amid || now - (this.#heldSince ?? now) >= SETTLE_MAX_MILLIS) return false;
    // Of a burst polling tells only that there is one: whether it goes on, the times of what has changed say.
    const young = polled === undefined ? [] : await this.#youngIn(polled.directory);
    for (const path of young) polled?.note(path);
    return stirred || young.length > 0;
  }

  /** The paths that differ from what is loaded and changed too lately for the end of a burst. */
  async #youngIn(root: string): Promise<string[]> {
    const at = Date.now() - SETTLE_MILLIS;
    const young: string[] = [];
    for (const path of this.#ledger.differing()) {
      if (!(await isSince(root, path, at))) young.push(path);
    }
    return young;
  }

  async #look(
    admission: Admitted,
    directoryWatch: DirectoryWatch,
  ): Promise<{ news: boolean; again: boolean }> {
    const { path: root, generation, installId } = admission;
    const { ignore } = this.#ports;
    const paths = directoryWatch.take();
    if (paths !== undefined && generation === this.#generation) {
      let news = false;
      let again = false;
      const work = new Set(paths);
      for (const path of work) {
        for (const name of this.#namesOf(path)) work.add(name);
        const sight = await lookAt(root, path, ignore, this.#signal);
        if (sight.kind === 'directory') {
          // It may have come before it was watched: watch anew, then look at everything.
          directoryWatch.reopen();
          news = this.#ledger.replace(path, sight.seen) || news;
          continue;
        }
        const seen = sight.kind === 'file' ? sight.seen : undefined;
        // Under which names else, only a look at everything says.
        const file = sight.kind === 'file' ? sight.shared.get(path) : undefined;
        if (file !== undefined && file !== this.#shared.get(path)) {
          directoryWatch.doubt();
          again = true;
        }
        // What was no file may have been a directory: what lay below it is gone, too.
        news =
          (this.#ledger.get(path) === undefined
            ? this.#ledger.replace(path, seen === undefined ? [] : [seen])
            : this.#ledger.set(path, seen)) || news;
      }
      return { news, again: again || directoryWatch.isStale };
    }
    // Among them may be directories, which are to be watched anew.
    if (paths !== undefined && paths.size > 0) directoryWatch.reopen();
    const isNew = generation !== this.#generation;
    const installed =
      isNew && installId !== undefined ? await this.#ports.installed(root, installId) : undefined;
    if (isNew) this.#installed = installed?.files.filter((file) => counts(file.path, ignore));
    const sealed = (await statOf(join(root, MARKER)).catch(() => undefined))?.ctimeMs ?? 0;
    // A marker that was touched since says nothing of what changed before that.
    const isKnown = isNew || sealed === this.#sealed;
    const known = isNew ? fileOf(this.#installed) : this.#seenFile;
    // Nor does one that was touched or copied since the install.
    const spare = isKnown ? spareOf(root, Math.min(sealed, installed?.at ?? sealed), known) : undefined;
    const sight = await lookAt(root, '', ignore, this.#signal, spare);
    const news = this.#ledger.replace('', sight.kind === 'directory' ? sight.seen : []);
    if (isNew) this.#ledger.renew();
    this.#generation = generation;
    this.#sealed = sealed;
    this.#shared = sight.kind === 'directory' ? sight.shared : new Map();
    return { news, again: directoryWatch.isStale };
  }

  /** All names that a file had when everything was looked at; none where it had but this one. */
  #namesOf(path: string): string[] {
    const file = this.#shared.get(path);
    if (file === undefined) return [];
    return [...this.#shared].filter(([, other]) => other === file).map(([name]) => name);
  }

  readonly #seenFile = (path: string): FileEntry | undefined => {
    const seen = this.#ledger.get(path);
    return seen === undefined || 'odd' in seen ? undefined : seen;
  };

  async #judge(admission: Admission, news: boolean): Promise<WatchEvent[]> {
    const isThere = admission.status === 'admitted';
    const turned = isThere !== (this.#admitted !== undefined);
    this.#admitted = isThere ? admission : undefined;
    const installId = isThere ? admission.installId : undefined;
    const identity = this.nests.find(({ directory }) => isThere && directory === admission.path)?.identity;
    // An empty marker was made a full one: the version is what it was.
    const isAdopted = !news && !turned && this.#installId === undefined && identity === this.#identity;
    this.#identity = identity;
    const swapped = installId !== undefined && installId !== this.#installId;
    if (isThere || admission.status === 'absent') this.#installId = installId;
    if (!turned && !(isThere && (news || (swapped && !isAdopted)))) return [];
    if (!swapped) {
      await this.learn(true);
      return [this.#tell(admission, { by: 'edit' })];
    }
    // What a swap means is judged by what was loaded when it was made.
    const swap = this.#tell(admission, { by: 'swap', installId });
    if (swap.kind !== 'cold') this.#ledger.load();
    const learnt = await this.learn();
    const installed = this.#installed;
    if (learnt === undefined || installed === undefined || this.#ledger.holds(installed)) return [swap];
    // Edited at once: whoever told of the swap knows nothing of that.
    if (learnt === 'live') this.#ledger.load(installed);
    return [swap, this.#tell(admission, { by: 'edit' })];
  }

  #tell(admission: Admission, cause: WatchEvent['cause']): WatchEvent {
    const isThere = admission.status === 'admitted';
    const { kind, reasons } = this.#ledger.judge(isThere, isThere ? admission.hotReload : undefined);
    const skills = this.#ledger.skills();
    return {
      plugin: this.name,
      kind,
      reasons,
      skills,
      at: this.#at,
      cause,
      status: admission.status,
      detail: admission.status === 'refused' ? admission.why : undefined,
      generation: isThere ? admission.generation : undefined,
    };
  }

  async close(): Promise<void> {
    for (const directoryWatch of this.nests) await directoryWatch.close();
  }
}
