/** What the watcher needs from its user, and the events that it gives. */
import type { Clock } from '../shared/clock.ts';
import type { readPath } from './read-path.ts';
import type { FileEntry, Ignore, Reason } from '../shared/format/tree.ts';

/** The decision of the gate on a name at one moment. */
export type Admission =
  | {
      status: 'admitted';
      /** The live directory. */
      path: string;
      /** Changes with each version that is put in place. */
      generation: string;
      /** Undefined for a version without a full marker. */
      installId: string | undefined;
      /** `false`: no change of this version is ever hot. */
      hotReload: boolean | undefined;
    }
  | ({ status: 'refused'; why: string } & Lost)
  | ({ status: 'absent' } & Lost);

/**
 * What was admitted before, if the asker knows of it: the installId of a version that was live and is no more. The watcher
 * tells the loss once, also of a version that it has never seen.
 */
type Lost = { lost?: string | undefined };

/** The files of a version as installed, and the time (milliseconds) at which all of them were written. */
export type Installed = { files: readonly FileEntry[]; at: number };

/** What is known elsewhere about the loaded version. */
export type Known = {
  /** Changes whenever the knowledge changes. */
  stamp: string;
  /**
   * `live`: the live files are loaded. `unknown`: nobody knows. Otherwise these files are loaded, and live files that
   * have not changed since `at` (milliseconds).
   */
  loaded: 'live' | 'unknown' | { files: readonly FileEntry[]; at: number | undefined };
};

/** A watch on a directory until it is closed. */
export type Watched = {
  /** Resolves when no later change is missed. Rejects if the directory cannot be watched (`ENOSPC`, `EMFILE`, …). */
  ready: Promise<void>;
  /**
   * Changes after this time (milliseconds since the epoch) may not have been reported yet. Without this method changes
   * are reported at once.
   */
  seen?(): number;
  close(): Promise<void>;
};

/** A version that is complete and about to be swapped in. */
export type StagedVersion = {
  installId: string;
  /** Where it is before the swap. */
  directory: string;
  /** The directories in it, by their relative paths. */
  directories: readonly string[];
};

/** A source of file events. An event says that something has changed, not what. */
export type FileEvents = {
  /** Whether a watch stays with its directory when that is moved. Default: it may stay with the path. */
  movesAlong?: boolean;
  /**
   * Watches a directory: with `deep` everything below it, otherwise only its own entries.
   *
   * @param deep all directories below it, by their relative paths, if they are known and no other process can add one.
   * @param onPath gets a relative path with `/`, or undefined if the path is not known.
   * @param onError gets the error of a watch that fails after it was ready; called once.
   */
  open(
    directory: string,
    deep: boolean | readonly string[],
    onPath: (path: string | undefined) => void,
    onError: (error: unknown) => void,
  ): Watched;
};

export type Ports = {
  roots: readonly string[];
  /** Judges a name over all roots. May wait for a swap to end. */
  admit(name: string): Promise<Admission>;
  /** A version as it was installed, by its live directory; undefined if that is not known. */
  installed(path: string, installId: string): Promise<Installed | undefined>;
  /**
   * What is known elsewhere about the loaded version of a plugin whose live version has this generation. Without this
   * method the runtime counts as having loaded what was live when the watch began, and since then what it was told or has
   * reported.
   *
   * @param stamp the stamp of the last answer. @returns undefined if nothing has changed since that answer.
   */
  loaded?(name: string, generation: string, stamp: string | undefined): Promise<Known | undefined>;
  ignore: Ignore;
  clock: Clock;
  /** Reads a path of a live tree; tests count the calls. Default: from the disk. */
  readPath?: typeof readPath;
  /** File events of the system. */
  fileEvents: FileEvents;
  /** Polling, for directories that the system cannot watch. */
  polling: FileEvents;
  /** Receives a text for people, such as the reason for polling. */
  notice(text: string): void;
};

/** What a change means for a runtime that has loaded what was there before. One event for each burst of changes. */
export type WatchEvent = {
  readonly plugin: string;
  /**
   * `skill-content-only`: load the named skills again. `cold`: only a restart loads the change. `identical`: the live
   * files are the loaded ones (after a swap to the same files, or when a pending cold change was undone).
   */
  readonly kind: 'identical' | 'skill-content-only' | 'cold';
  /** Every path that differs from what is loaded. Paths that need a restart come first, then by path. */
  readonly reasons: readonly Reason[];
  /** The directories with a SKILL.md in which something differs, relative and sorted; '' for the plugin itself. */
  readonly skills: readonly string[];
  /** All changes up to this time (milliseconds since the epoch) are in the event. Later ones may be missing. */
  readonly at: number;
  readonly cause: { readonly by: 'edit' } | { readonly by: 'swap'; readonly installId: string };
  /** The decision of the gate now. */
  readonly status: 'admitted' | 'refused' | 'absent';
  /** Why the plugin is refused. */
  readonly detail: string | undefined;
  /** The version that is live now; undefined unless it is admitted. */
  readonly generation: string | undefined;
};

export type Watch = AsyncIterable<WatchEvent> & {
  /** Resolves when no later change is missed. Later events compare with what the runtime loads after that. */
  readonly ready: Promise<void>;
  /**
   * Call this when the runtime has loaded the live version, also a cold change. If the loaded version is known elsewhere:
   * when that knowledge has changed.
   *
   * A hot verdict counts as loaded as soon as it is read.
   */
  loaded(plugin: string): void;
  /** Ends the iteration and closes all watches. May be called twice. */
  close(): Promise<void>;
};
