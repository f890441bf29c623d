/** What goes on in an agent: how far the running installs have come, and what has happened lately. Bounded. */
import type { EventBody, InstallStep } from '../../shared/api/events.ts';
import { reasonText } from '../../shared/wording.ts';

/** The most events that are kept, and the most installs that are followed. */
const TOLD = 20;
const FOLLOWED = 100;

/** How far an install has come, and the milliseconds that each finished step took. */
export type Progress = { received: number; total: number; entries: number; done: Map<InstallStep, number> };
/** Something that has happened. `isBad`: it has failed. */
export type EventText = {
  at: Date;
  plugin: string;
  text: string;
  todo?: string | undefined;
  isBad?: boolean;
};

export class Activity {
  readonly #now: () => number;
  /** By operation id. Some of them may have ended. */
  readonly progress = new Map<string, Progress>();
  /** The latest first. */
  readonly told: EventText[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  hear(event: EventBody): void {
    if (event.type === 'install.progress') this.#follow(event.data);
    const words = wordsOf(event);
    if (words !== undefined) {
      this.told.unshift({ at: new Date(this.#now()), ...words });
      this.told.length = Math.min(this.told.length, TOLD);
    }
  }

  #follow(data: Extract<EventBody, { type: 'install.progress' }>['data']): void {
    const { operationId, step, received, total, entries, millis } = data;
    // An operation that has failed begins again with the first step.
    const isBegun = step !== 'receive' || millis !== undefined;
    const done =
      (isBegun ? this.progress.get(operationId)?.done : undefined) ?? new Map<InstallStep, number>();
    if (millis !== undefined) done.set(step, millis);
    // The one that was silent for longest is the first, and is forgotten first.
    this.progress.delete(operationId);
    this.progress.set(operationId, { received, total, entries, done });
    const [oldest] = this.progress.keys();
    if (this.progress.size > FOLLOWED && oldest !== undefined) this.progress.delete(oldest);
  }
}

/** An event in words; undefined: it is shown otherwise, or concerns nobody. */
function wordsOf({ type, data }: EventBody): Omit<EventText, 'at'> | undefined {
  switch (type) {
    case 'install.complete': {
      const { plugin, status, version, by } = data;
      const what =
        status === 'installed' ? `installed ${version}` : `sent ${version}, which was live already`;
      return { plugin, text: `${by} ${what}` };
    }
    case 'install.failed': {
      const { title, detail, hint } = data.error;
      return { plugin: data.plugin, text: `An install failed. ${title}: ${detail}`, todo: hint, isBad: true };
    }
    case 'install.rolled-back':
      return { plugin: data.plugin, text: `${data.by} went back to ${data.version}` };
    case 'plugin.changed':
      return data.action === 'none' ? undefined : { plugin: data.plugin, text: verdictText(data) };
    case 'plugin.loaded': {
      const text =
        data.generation === null
          ? 'The runtime has unloaded it'
          : `The runtime has loaded ${data.generation}`;
      return { plugin: data.plugin, text };
    }
    case 'plugin.removed':
      return { plugin: data.plugin, text: `${data.by} removed it` };
    case 'plugin.adopted':
      return { plugin: data.plugin, text: `${data.by} adopted ${data.version}` };
    case 'install.progress':
    case 'install.staged':
    case 'install.swapped':
    case 'sweep.done':
    case 'draining':
    case 'snapshot':
      return undefined;
    default:
      return type satisfies never;
  }
}

function verdictText(data: Extract<EventBody, { type: 'plugin.changed' }>['data']): string {
  const { kind, action, restarting, cause, reasons } = data;
  const [first] = reasons.items;
  const more = reasons.total > 1 ? ` and ${reasons.total - 1} more` : '';
  const then = restarting ? 'the runtime is restarted for it' : 'it waits for a restart of the runtime';
  return [
    `${cause === 'edit' ? 'Edited by hand. ' : ''}Verdict ${kind}`,
    ...(first === undefined ? [] : [` (${reasonText(first)}${more})`]),
    action === 'hot' ? '' : `: ${then}`,
  ].join('');
}
