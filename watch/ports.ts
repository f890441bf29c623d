/** What the watcher needs from whoever uses it, and what it tells. */
import type { Clock } from '../shared/clock.ts';
import type { FileEntry, Ignore, Reason } from '../shared/format/tree.ts';

/** What the gate says of a name at one moment. */
export type Admission =
  | {
      status: 'admitted';
      /** The live directory. */
      path: string;
      /** Another one for each version that is put in place. */
      generation: string;
      /** Undefined for a version without a full marker. */
      installId: string | undefined;
      /** `false`: no change of it is ever hot. */
      hotReload: boolean | undefined;
    }
  | { status: 'refused'; why: string }
  | { status: 'absent' };

/** The files of a version, and when (milliseconds) all of them had been written. */
export type Installed = { files: readonly FileEntry[]; at: number };

/** What is known elsewhere of what the runtime has loaded. */
export type Known = {
  /** Another one whenever something else is known. */
  stamp: string;
  /** What lies there now; nobody knows what; or these files, and what lay there unchanged since `at` (milliseconds). */
  loaded: 'live' | 'unknown' | { files: readonly FileEntry[]; at: number | undefined };
};

/** Something that is looked at until it is closed. */
export type Watched = {
  /** Resolves when no change from now on is missed; rejects where that cannot be had (`ENOSPC`, `EMFILE`, …). */
  ready: Promise<void>;
  /** Since when (milliseconds since the epoch) what has changed was perhaps not told. Without it all is told at once. */
  seen?(): number;
  close(): Promise<void>;
};

/** Sees that something changed, not what. */
export type FileEvents = {
  /**
   * Watches a directory: with `deep` everything below it, else its own entries.
   *
   * @param tell is told a relative path with `/`, or undefined where nobody can say which.
   * @param fail is told once what went wrong after it was ready.
   */
  open(
    directory: string,
    deep: boolean,
    tell: (path: string | undefined) => void,
    fail: (error: unknown) => void,
  ): Watched;
};

export type Ports = {
  roots: readonly string[];
  /** Judges a name, over all roots. May wait for a swap to end. */
  admit(name: string): Promise<Admission>;
  /** A version as it was installed, by its live directory; undefined where nobody knows. */
  installed(path: string, installId: string): Promise<Installed | undefined>;
  /**
   * What is known of the loading of a plugin whose version of that generation lies there. Without it the runtime has loaded
   * what lay there when the watch began, and what it was told of or said since.
   *
   * @param stamp of what was known before. @returns undefined if that is still all.
   */
  loaded?(name: string, generation: string, stamp: string | undefined): Promise<Known | undefined>;
  ignore: Ignore;
  clock: Clock;
  /** Those that the system wakes up. */
  fileEvents: FileEvents;
  /** Those that look again and again, where the others cannot be had. */
  polling: FileEvents;
  /** What people should know: the change to polling, and why. */
  notice(text: string): void;
};

/** What a change means for a runtime that has loaded what was there before. One for each burst of changes. */
export type WatchEvent = {
  readonly plugin: string;
  /**
   * `skill-content-only`: load the named skills again; `cold`: only a restart brings it in; `identical`: what is there
   * is what is loaded (after a swap to the same files, or when a pending cold change was taken back).
   */
  readonly kind: 'identical' | 'skill-content-only' | 'cold';
  /** Every path that differs from what is loaded: what needs a restart first, then by path. */
  readonly reasons: readonly Reason[];
  /** The directories with a SKILL.md in which something differs, relative, sorted; '' for the plugin's own. */
  readonly skills: readonly string[];
  /** Since when (milliseconds since the epoch): what has changed later was perhaps not seen. */
  readonly at: number;
  readonly cause: { readonly by: 'edit' } | { readonly by: 'swap'; readonly installId: string };
  /** What the gate says of it now. */
  readonly status: 'admitted' | 'refused' | 'absent';
  /** Why it is refused. */
  readonly detail: string | undefined;
  /** Which version lies there now; undefined unless it is admitted. */
  readonly generation: string | undefined;
};

export type Watch = AsyncIterable<WatchEvent> & {
  /** Resolves when no later change is missed: what is loaded after that is what later events are compared with. */
  readonly ready: Promise<void>;
  /**
   * The runtime has loaded what lies there now, also what was cold, or, where what is loaded is known elsewhere: that has
   * changed.
   *
   * A hot verdict counts as loaded as soon as it is told.
   */
  loaded(plugin: string): void;
  /** Ends the iteration and lets go of everything. May be called twice. */
  close(): Promise<void>;
};
