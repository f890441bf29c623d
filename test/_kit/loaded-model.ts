/**
 * A runtime of which the set of what it may be running is known, beside the agent's own notes: pushes, restarts, reports,
 * edits and removals by chance, each answer compared with that set.
 */
import { loadedRecord, pendingOf } from '../../agent/store/runtime-state.ts';
import {
  liveVersions,
  noteBegun,
  noteLoaded,
  pendingPlugins,
  promisedPlugins,
} from '../../agent/change/runtime-reports.ts';
import { liveVersionOf } from '../../agent/store/marker.ts';
import type { Reload } from '../../shared/rule/classify.ts';
import { pick } from './chance.ts';
import type { Room } from './install-room.ts';

/** What makes a restart necessary, and what can be read again; null: no plugin. */
export type Content = { hook: string; skill: string } | null;

/**
 * Who restarts, and who tells of it: the agent's command; the caller, with a runtime that reports; the caller, who
 * reports; the caller, and nobody tells.
 */
export const WAYS = ['command', 'reporting', 'restarted', 'silent'] as const;
export type Way = (typeof WAYS)[number];

/**
 * How a change ends: as it should; it is taken back, for it fails; the agent is killed before the swap, or after it and before
 * anything else is written down.
 */
export const ENDS = ['made', 'taken back', 'killed before', 'killed after'] as const;
export type End = (typeof ENDS)[number];

/** How changes are made. */
export type Hand = {
  room: Room;
  /**
   * Puts this in place of what is live.
   *
   * @param meanwhile is called after the change is judged, and before it is made. @returns undefined: it was not made.
   */
  change: (
    to: Content,
    restart: boolean,
    end: End,
    meanwhile: () => void,
  ) => Promise<Pick<Reload, 'kind' | 'restarting'> | undefined>;
  /** Edits what is live. */
  edit: (to: NonNullable<Content>) => void;
  /** @param at undefined: the report does not say when. */
  report: (generation: string, at: number | undefined) => void;
};

/** Answers, and how many of them were cold; needlessly so; and that though no restart and no edit was in doubt. */
export type Tally = { answers: number; cold: number; needless: number; plain: number };

export class Play {
  readonly #hand: Hand;
  readonly #way: Way;
  readonly #chance: () => number;
  readonly #runs: { now: boolean };
  /** What the runtime may be running. */
  #loaded: Content[] = [null];
  /** What a restart may have read that is under way, or promised by who restarts; undefined: there is none. */
  #window: Content[] | undefined;
  /** The runtime has read: the command that runs reads no more. */
  #hasRead = false;
  #live: Content = null;
  /** Ends the command that runs. */
  #end: ((well: boolean) => void) | undefined;
  /** What the runtime, or who has restarted it, is yet to tell, the oldest first. */
  #untold: (() => void)[] = [];
  /** A restart was promised or begun, or something edited, since all was settled. */
  #doubted = false;
  readonly said: string[] = [];
  readonly tally: Tally = { answers: 0, cold: 0, needless: 0, plain: 0 };

  constructor(hand: Hand, way: Way, chance: () => number, runs: { now: boolean }) {
    this.#hand = hand;
    this.#way = way;
    this.#chance = chance;
    this.#runs = runs;
  }

  /** @returns what was wrong, if something was. */
  async run(steps: number): Promise<string | undefined> {
    let wrong = await this.#change({ hook: '1', skill: '1' }, true);
    this.#settle();
    for (let i = 0; i < steps && wrong === undefined; i += 1) {
      this.#hand.room.clock.now += 1000;
      wrong = await this.#step();
    }
    return wrong ?? this.#rest();
  }

  get #maybe(): Content[] {
    return [...this.#loaded, ...(this.#window ?? [])];
  }

  async #step(): Promise<string | undefined> {
    const n = pick(this.#chance, 20);
    if (n < 10) {
      const hook = String(1 + pick(this.#chance, 3));
      const skill = String(1 + pick(this.#chance, 2));
      return this.#change({ hook, skill }, this.#chance() < 0.5, this.#pickEnd());
    }
    if (n === 10) {
      return this.#change(null, this.#chance() < 0.5, this.#pickEnd());
    }
    if (n < 13) {
      this.#edit();
    } else if (n < 15) {
      this.#tell();
    } else {
      this.#restart();
    }
    return undefined;
  }

  #pickEnd(): End {
    return this.#chance() < 0.8 ? 'made' : (ENDS[1 + pick(this.#chance, ENDS.length - 1)] ?? 'made');
  }

  async #change(to: Content, restart: boolean, end: End = 'made'): Promise<string | undefined> {
    if (to === null && this.#live === null) {
      return undefined;
    }
    const { context } = this.#hand.room;
    // Where nothing was ever reported, who asks for a change is taken to restart at once.
    const isUntold = loadedRecord(context, 'lint') === undefined && pendingOf(context, 'lint') === undefined;
    const maybe = this.#maybe;
    const answer = await this.#hand.change(to, restart, end, () => this.#beginMeanwhile(end));
    if (answer === undefined) {
      this.#kill(end);
      this.#said(`${restart ? 'push' : 'suppressed'} ${show(to)}: ${end}`);
      return undefined;
    }
    const { kind, restarting } = answer;
    const needsRestart = to === null || maybe.some((one) => one?.hook !== to.hook);
    const needsReading = needsRestart || maybe.some((one) => one?.skill !== to.skill);
    this.#said(`${restart ? 'push' : 'suppressed'} ${show(to)}: ${kind}, ${end}`);
    if (kind === 'identical' ? needsReading : kind === 'skill-content-only' && needsRestart) {
      return `${kind}, though the runtime may be running ${maybe.map(show).join(', ')}`;
    }
    const isNeedless = kind === 'cold' && !needsRestart;
    this.tally.answers += 1;
    this.tally.cold += Number(kind === 'cold');
    this.tally.needless += Number(isNeedless);
    this.tally.plain += Number(isNeedless && !this.#doubted);
    this.#live = to;
    if (kind === 'skill-content-only' && to !== null) {
      const again = (one: Content): Content => one && { ...one, skill: to.skill };
      this.#loaded = this.#loaded.map(again);
      this.#window = this.#window?.map(again);
      this.#reportLater();
    }
    if (restarting && (this.#way === 'silent' || (this.#way !== 'command' && isUntold))) {
      this.#loaded = [to];
      this.#window = undefined;
    } else if (restarting && this.#way !== 'command') {
      this.#window ??= [];
    }
    this.#mayRead();
    this.#kill(end);
    return undefined;
  }

  /** The command is killed with the agent. */
  #kill(end: End): void {
    if (end.startsWith('killed')) {
      this.#end?.(false);
    }
  }

  /** A restart begins while a change is made. It waits for the end of that only if something of the plugin waits. */
  #beginMeanwhile(end: End): void {
    const isKilled = end.startsWith('killed');
    const mayBegin = this.#way === 'command' && !isKilled && this.#end === undefined;
    if (mayBegin && pendingPlugins(this.#hand.room.context).length === 0 && this.#chance() < 0.3) {
      this.#begin();
    }
  }

  /** What is live now may be read, if something reads. */
  #mayRead(): void {
    if (!this.#hasRead) {
      this.#window?.push(this.#live);
    }
    this.#doubted ||= this.#window !== undefined;
  }

  /** An edit of what may be loaded may be loaded as well. */
  #edit(): void {
    if (this.#live === null) {
      return;
    }
    const part = this.#chance() < 0.5 ? 'hook' : 'skill';
    const before = this.#live;
    this.#live = { ...before, [part]: `${before[part]}x` };
    this.#hand.edit(this.#live);
    if (this.#maybe.some((one) => one?.hook === before.hook && one.skill === before.skill)) {
      this.#loaded.push(this.#live);
    }
    this.#doubted = true;
    this.#mayRead();
    this.#said(`edit ${show(this.#live)}`);
  }

  /** The runtime reports what it has read just now: at once, or some time later. */
  #reportLater(): void {
    const { room } = this.#hand;
    const generation = liveVersionOf(room.context, 'lint')?.installId ?? undefined;
    const at = room.clock.now;
    if (generation !== undefined && (this.#way === 'reporting' || this.#way === 'command')) {
      const said = this.#chance() < 0.8 ? at : undefined;
      this.#later(`report of ${generation}`, () => this.#hand.report(generation, said));
    }
  }

  #later(what: string, tell: () => void): void {
    this.#untold.push(() => {
      tell();
      this.#said(what);
    });
    if (this.#chance() < 0.5) {
      this.#tell();
    }
  }

  #tell(): void {
    for (const tell of this.#untold.splice(0)) {
      tell();
    }
  }

  #restart(): void {
    if (this.#way !== 'command') {
      this.#restartAsCaller();
    } else if (this.#end === undefined) {
      this.#begin(this.#chance() < 0.3);
    } else if (this.#hasRead || this.#chance() < 0.7) {
      this.#end(this.#chance() < 0.7);
    } else {
      this.#hasRead = true;
      this.#window = [];
      this.#loaded = [this.#live];
      this.#said('the runtime has read');
      this.#reportLater();
    }
  }

  /** Also where nothing of this plugin asks for it, but another plugin does; that is told at once. */
  #restartAsCaller(): void {
    if (this.#way !== 'silent') {
      const isOthers = this.#window === undefined;
      this.#restarted();
      if (isOthers) {
        this.#tell();
      }
    }
  }

  /** Who restarts has done it, and the runtime has read what is live now. */
  #restarted(): void {
    const { context, clock } = this.#hand.room;
    this.#window = undefined;
    this.#loaded = [this.#live];
    this.#said('restarted');
    if (this.#way === 'reporting') {
      return this.#reportLater();
    }
    const at = clock.now;
    this.#later('that is told', () =>
      liveVersions(context, at, {}).forEach((one) => noteLoaded(context, one, at, 'operation-restart')),
    );
  }

  /**
   * The command runs: what is live at any time until it has ended may be read.
   *
   * @param isAnew the agent was started anew, and makes up for what was promised.
   */
  #begin(isAnew = false): void {
    const { context, clock } = this.#hand.room;
    const promised = isAnew ? promisedPlugins(context) : [];
    this.#runs.now = true;
    for (const plugin of pendingPlugins(context)) {
      noteBegun(context, plugin, promised.includes(plugin) ? clock.now : 0);
    }
    const at = clock.now;
    const versions = liveVersions(context, at, {});
    this.#hasRead = false;
    this.#window = [];
    this.#mayRead();
    this.#said('the command begins');
    this.#end = (well) => {
      const read = this.#window ?? [];
      this.#loaded = well && !this.#hasRead ? read : [...this.#loaded, ...read];
      this.#end = undefined;
      this.#window = undefined;
      this.#hasRead = false;
      if (well) {
        versions.forEach((one) => noteLoaded(context, one, at, 'restart-command'));
      }
      this.#runs.now = false;
      this.#said(`the command ${well ? 'ends well' : 'fails'}`);
    };
  }

  /** Everything is told, and a last restart ends of which everybody knows. */
  #settle(): void {
    this.#end?.(false);
    this.#tell();
    this.#hand.room.clock.now += 1000;
    if (this.#way === 'command') {
      this.#begin();
      this.#end?.(true);
    } else if (this.#way === 'silent') {
      this.#loaded = [this.#live];
    } else {
      this.#restarted();
    }
    this.#tell();
    this.#doubted = false;
  }

  #rest(): string | undefined {
    this.#settle();
    const isTold = this.#way !== 'silent' && (this.#way !== 'reporting' || this.#live !== null);
    const pending = isTold ? pendingOf(this.#hand.room.context, 'lint') : undefined;
    return pending && `still waiting: ${JSON.stringify(pending)}`;
  }

  #said(what: string): void {
    this.said.push(`${what} [${this.#loaded.map(show).join(', ')} + ${this.#window?.map(show).join(', ')}]`);
  }
}

const show = (content: Content): string =>
  content === null ? 'nothing' : `${content.hook}/${content.skill}`;
