/** One watched plugin: what is known about it, and the verdict when a burst of changes is over. */
import { join } from 'node:path';

import { MARKER } from '../shared/format/layout.ts';
import { isPluginName } from '../shared/format/name.ts';
import { type FileEntry, counts } from '../shared/format/tree.ts';
import { LoadedDiff } from './loaded-diff.ts';
import { type HardLinks, readPath, statOf } from './read-path.ts';
import { type FileEventsFor, DirectoryWatch } from './directory-watch.ts';
import type { Admission, FileEvents, Known, Ports, StagedVersion, WatchEvent } from './ports.ts';
import { findIn, isUnchangedSince, isPathUnchangedSince, knownDigests } from './unchanged.ts';

type Admitted = Extract<Admission, { status: 'admitted' }>;

/** Changes of one plugin with shorter pauses than this are one burst. */
export const SETTLE_MILLIS = 250;
/** A plugin that changes without a pause is judged this often. */
export const SETTLE_MAX_MILLIS = 5000;
/** If the plugin is swapped while it is read, it is read again, at most so often. Then the last result counts. */
const ATTEMPTS = 10;
/**
 * Temporary files of an editor make a verdict cold for a moment. A cold verdict during ongoing changes is held back so
 * many times in a row.
 */
const HOLDS = 2;

export class WatchedPlugin {
  readonly name: string;
  /** One watch for each root, in the order of the roots. */
  readonly directoryWatches: readonly DirectoryWatch[];
  readonly #ports: Ports;
  readonly #signal: AbortSignal;
  readonly #readPath: typeof readPath;
  readonly #diff = new LoadedDiff();
  /** The last admission by the gate. */
  #admitted: Admitted | undefined;
  /** The generation of the files in the diff. */
  #generation: string | undefined;
  #installId: string | undefined;
  /** The version whose loss was told last, while the plugin is not admitted. */
  #lost: string | undefined;
  /** The identity of the live directory. */
  #identity: string | undefined;
  /** The files as installed, while a generation is read for the first time. */
  #installed: readonly FileEntry[] | undefined;
  /** The files with several names, as of the last reading of everything. */
  #shared: HardLinks = new Map();
  /** The time of the marker, as of the last reading of everything. */
  #sealed: number | undefined;
  /** The stamp of the last knowledge about the loaded version. */
  #stamp: string | undefined;
  /** How many verdicts in a row were held back. Their changes are still to be reported. */
  #held = 0;
  /** When the first of them was held back, by the clock; undefined: none is. */
  #heldSince: number | undefined;
  /**
   * Changes after this time may not have been seen. It is a time of the file system's clock, because it is compared with
   * times of files.
   */
  #at = 0;

  /** @param signal ends the reading of files. */
  constructor(name: string, ports: Ports, signal: AbortSignal) {
    this.name = name;
    this.#ports = ports;
    this.#signal = signal;
    this.#readPath = ports.readPath ?? readPath;
    this.directoryWatches = isPluginName(name)
      ? ports.roots.map((root) => new DirectoryWatch(root, name))
      : [];
  }

  /** There is no such plugin, and there never was one that could be loaded. */
  get isBlank(): boolean {
    return (
      this.#generation === undefined &&
      this.#lost === undefined &&
      this.directoryWatches.every(({ identity, isExpecting }) => identity === undefined && !isExpecting)
    );
  }

  /** The live version is what the runtime has loaded. */
  load(): void {
    this.#diff.load();
  }

  /** The runtime has loaded a version as it was at a time: this version only, without later edits. */
  async report(generation: string, at: number): Promise<void> {
    if (this.#admitted === undefined || generation !== this.#generation) return;
    const { path: root, installId } = this.#admitted;
    const installed = installId === undefined ? undefined : await this.#ports.installed(root, installId);
    const loaded = await this.#unchanged(root, at);
    for (const path of this.#diff.among(installed?.files)) {
      // An installed file that has not changed since was read as installed. An entry beside the installed ones proves
      // nothing.
      const stats = await statOf(join(root, path)).catch(() => undefined);
      if (stats === undefined || isUnchangedSince(stats, at)) loaded.push(path);
    }
    // Meanwhile another, older version may be live.
    const directoryWatch = this.directoryWatches.find(({ directory }) => directory === root);
    if (await directoryWatch?.isSame()) this.#diff.accept(loaded);
  }

  /** Those of the differing paths that have not changed since a time (milliseconds since the epoch). */
  async #unchanged(root: string, at: number): Promise<string[]> {
    const paths: string[] = [];
    for (const path of this.#diff.differing()) {
      if (await isPathUnchangedSince(root, path, at)) paths.push(path);
    }
    return paths;
  }

  /**
   * Takes over what is known elsewhere about the loaded version. @returns it, if it has changed.
   *
   * @param edited the live files were edited just now, so they do not count as loaded by default.
   */
  async learn(edited = false): Promise<Known['loaded'] | undefined> {
    if (this.#admitted === undefined) return undefined;
    const { path: root, generation } = this.#admitted;
    const known = await this.#ports.loaded?.(this.name, generation, this.#stamp);
    if (known === undefined) return undefined;
    const { stamp, loaded } = known;
    this.#stamp = stamp;
    if (loaded === 'unknown') {
      this.#diff.unload();
    } else if (loaded === 'live') {
      if (!edited) this.#diff.load();
    } else {
      this.#diff.load(loaded.files);
      if (loaded.at !== undefined) this.#diff.accept(await this.#unchanged(root, loaded.at));
    }
    return loaded;
  }

  /** A version is about to come to the live path from another directory; undefined: it does not come. */
  async expect(
    staged: StagedVersion | undefined,
    fileEvents: FileEvents,
    onChange: () => void,
  ): Promise<void> {
    const [directoryWatch] = this.directoryWatches;
    await directoryWatch?.expect(staged, fileEvents, this.#ports.ignore, onChange);
  }

  /** Reads the plugin for the first time, without an event. */
  async begin(fileEvents: FileEventsFor, onChange: () => void): Promise<void> {
    await this.settle(fileEvents, onChange);
    this.#held = 0;
    if (this.#ports.loaded === undefined) this.load();
    else await this.learn();
  }

  /**
   * Reads what has changed and judges it. @returns no events if there is nothing to report.
   *
   * @param onChange asks for another call.
   * @param isOngoing the changes have gone on for as long as a burst may last.
   */
  async settle(fileEvents: FileEventsFor, onChange: () => void, isOngoing = false): Promise<WatchEvent[]> {
    let isChanged = this.#held > 0;
    let hasChanged = false;
    let polled: DirectoryWatch | undefined;
    let admission: Admission = { status: 'absent' };
    for (let i = 0; i < ATTEMPTS; i++) {
      this.#at = Date.now();
      for (const directoryWatch of this.directoryWatches) {
        await directoryWatch.settle(fileEvents, this.#ports.ignore, onChange);
      }
      admission = this.directoryWatches.length === 0 ? admission : await this.#ports.admit(this.name);
      if (admission.status !== 'admitted') break;
      const { path } = admission;
      const directoryWatch = this.directoryWatches.find(({ directory }) => directory === path);
      if (directoryWatch === undefined) break;
      this.#at = Math.min(this.#at, directoryWatch.seen);
      const result = await this.#check(admission, directoryWatch);
      isChanged = result.isChanged || isChanged;
      hasChanged = directoryWatch.hasChanges;
      polled = directoryWatch.isPolled ? directoryWatch : undefined;
      if (!result.again && (await directoryWatch.isSame())) break;
    }
    const events = await this.#judge(admission, isChanged);
    this.#installed = undefined;
    const isEdit = events.every(({ cause, status }) => cause.by === 'edit' && status === 'admitted');
    if (events.length > 0 && isEdit && (await this.#isHeldBack(events, isOngoing, hasChanged, polled))) {
      this.#held += 1;
      this.#heldSince ??= this.#ports.clock.now();
      onChange();
      return [];
    }
    this.#held = 0;
    this.#heldSince = undefined;
    // A hot verdict counts as loaded once it is reported.
    const last = events.at(-1);
    if (last?.cause.by === 'edit' && last.kind !== 'cold') this.#diff.load();
    return events;
  }

  /**
   * Whether a verdict waits because its burst goes on, so that the next reading sees more of it.
   *
   * @param hasChanged something has changed since it was read. @param polled the watch, if it polls.
   */
  async #isHeldBack(
    events: readonly WatchEvent[],
    isOngoing: boolean,
    hasChanged: boolean,
    polled: DirectoryWatch | undefined,
  ): Promise<boolean> {
    const isCold = events.some(({ kind }) => kind === 'cold');
    if (isCold && (isOngoing || hasChanged) && this.#held < HOLDS) return true;
    const now = this.#ports.clock.now();
    if (isOngoing || now - (this.#heldSince ?? now) >= SETTLE_MAX_MILLIS) return false;
    // Polling does not report the end of a burst, so the times of the changed files decide.
    const recent = polled === undefined ? [] : await this.#recentIn(polled.directory);
    for (const path of recent) polled?.note(path);
    return hasChanged || recent.length > 0;
  }

  /** The differing paths that have changed too recently for the end of a burst. */
  async #recentIn(root: string): Promise<string[]> {
    const at = Date.now() - SETTLE_MILLIS;
    const recent: string[] = [];
    for (const path of this.#diff.differing()) {
      if (!(await isPathUnchangedSince(root, path, at))) recent.push(path);
    }
    return recent;
  }

  async #check(
    admission: Admitted,
    directoryWatch: DirectoryWatch,
  ): Promise<{ isChanged: boolean; again: boolean }> {
    const { path: root, generation, installId } = admission;
    const { ignore } = this.#ports;
    const paths = directoryWatch.take();
    if (paths !== undefined && generation === this.#generation) {
      return this.#checkPaths(root, paths, directoryWatch);
    }
    if (paths !== undefined && installId !== undefined && directoryWatch.wholeSince === installId) {
      const installed = await this.#ports.installed(root, installId);
      if (installed !== undefined) {
        this.#installed = installed.files.filter((file) => counts(file.path, ignore));
        const isNew = this.#diff.replace('', this.#installed);
        this.#diff.renew();
        this.#generation = generation;
        this.#sealed = await this.#sealedAt(root);
        this.#shared = new Map();
        const { isChanged, again } = await this.#checkPaths(root, paths, directoryWatch);
        return { isChanged: isNew || isChanged, again };
      }
    }
    // Some of the paths may be directories, which need a new watch.
    if (paths !== undefined && paths.size > 0) directoryWatch.reopen();
    const isNew = generation !== this.#generation;
    const installed =
      isNew && installId !== undefined ? await this.#ports.installed(root, installId) : undefined;
    if (isNew) this.#installed = installed?.files.filter((file) => counts(file.path, ignore));
    const sealed = await this.#sealedAt(root);
    // A marker that was touched since then proves nothing about earlier changes.
    const isKnown = isNew || sealed === this.#sealed;
    const known = isNew ? findIn(this.#installed) : this.#seenFile;
    // Neither does a marker that was touched or copied after the install.
    const knownDigest = isKnown
      ? knownDigests(root, Math.min(sealed, installed?.at ?? sealed), known)
      : undefined;
    const sight = await this.#readPath(root, '', ignore, this.#signal, knownDigest);
    const isChanged = this.#diff.replace('', sight.kind === 'directory' ? sight.seen : []);
    if (isNew) this.#diff.renew();
    this.#generation = generation;
    this.#sealed = sealed;
    this.#shared = sight.kind === 'directory' ? sight.shared : new Map();
    // What has changed since the watch began may be a directory that is not watched, and no further event may come.
    return { isChanged, again: directoryWatch.isStale || (isNew && directoryWatch.hasChanges) };
  }

  /** Reads the paths that have changed in a version whose other files are known. */
  async #checkPaths(
    root: string,
    paths: ReadonlySet<string>,
    directoryWatch: DirectoryWatch,
  ): Promise<{ isChanged: boolean; again: boolean }> {
    const { ignore } = this.#ports;
    let isChanged = false;
    let again = false;
    const work = new Set(paths);
    for (const path of work) {
      for (const name of this.#namesOf(path)) work.add(name);
      const sight = await this.#readPath(root, path, ignore, this.#signal);
      if (sight.kind === 'directory') {
        // It may have appeared before it was watched: watch again, then read everything.
        directoryWatch.reopen();
        isChanged = this.#diff.replace(path, sight.seen) || isChanged;
        continue;
      }
      const seen = sight.kind === 'file' ? sight.seen : undefined;
      // Only a reading of everything finds the other names of a file.
      const file = sight.kind === 'file' ? sight.shared.get(path) : undefined;
      if (file !== undefined && file !== this.#shared.get(path)) {
        directoryWatch.invalidate();
        again = true;
      }
      // The path may have been a directory: the entries below it are gone too.
      isChanged =
        (this.#diff.get(path) === undefined
          ? this.#diff.replace(path, seen === undefined ? [] : [seen])
          : this.#diff.set(path, seen)) || isChanged;
    }
    return { isChanged, again: again || directoryWatch.isStale };
  }

  /** The time of the marker in milliseconds; 0 if there is none. */
  readonly #sealedAt = async (root: string): Promise<number> =>
    (await statOf(join(root, MARKER)).catch(() => undefined))?.ctimeMs ?? 0;

  /** All names that a file had when everything was read; empty if it had only this one. */
  #namesOf(path: string): string[] {
    const file = this.#shared.get(path);
    if (file === undefined) return [];
    return [...this.#shared].filter(([, other]) => other === file).map(([name]) => name);
  }

  readonly #seenFile = (path: string): FileEntry | undefined => {
    const seen = this.#diff.get(path);
    return seen === undefined || 'irregular' in seen ? undefined : seen;
  };

  async #judge(admission: Admission, isChanged: boolean): Promise<WatchEvent[]> {
    const isThere = admission.status === 'admitted';
    const lost = isThere ? undefined : admission.lost;
    const isLoss = lost !== undefined && lost !== this.#lost;
    this.#lost = lost;
    const isAdmissionChanged = isThere !== (this.#admitted !== undefined) || isLoss;
    this.#admitted = isThere ? admission : undefined;
    const installId = isThere ? admission.installId : undefined;
    const identity = this.directoryWatches.find(
      ({ directory }) => isThere && directory === admission.path,
    )?.identity;
    // An empty marker became a full one: the version is the same.
    const isAdopted =
      !isChanged && !isAdmissionChanged && this.#installId === undefined && identity === this.#identity;
    this.#identity = identity;
    const swapped = installId !== undefined && installId !== this.#installId;
    if (isThere || admission.status === 'absent') this.#installId = installId;
    if (!isAdmissionChanged && !(isThere && (isChanged || (swapped && !isAdopted)))) return [];
    if (!swapped) {
      await this.learn(true);
      return [this.#event(admission, { by: 'edit' })];
    }
    // The swap is judged against what was loaded when it was made.
    const swap = this.#event(admission, { by: 'swap', installId });
    if (swap.kind !== 'cold') this.#diff.load();
    const learned = await this.learn();
    const installed = this.#installed;
    if (learned === undefined || installed === undefined || this.#diff.holds(installed)) return [swap];
    // The plugin was edited right after the swap, which the knowledge from elsewhere does not include.
    if (learned === 'live') this.#diff.load(installed);
    return [swap, this.#event(admission, { by: 'edit' })];
  }

  #event(admission: Admission, cause: WatchEvent['cause']): WatchEvent {
    const isThere = admission.status === 'admitted';
    const { kind, reasons } = this.#diff.judge(isThere, isThere ? admission.hotReload : undefined);
    const skills = this.#diff.skills();
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
    for (const directoryWatch of this.directoryWatches) await directoryWatch.close();
  }
}
