/** The lines of `airlock watch`: one for each event. */
import { posix } from 'node:path';

import type { AgentEvent } from '../client/index.ts';
import type { WatchEvent } from '../loader/index.ts';
import type { Reason } from '../shared/format/tree.ts';
import { type Paint, plural, reasonText, safe } from './render.ts';

/** The number of reasons or skills that are named; further ones are counted. */
const NAMED_MAX = 3;

const MEANS: Record<WatchEvent['kind'], { colour: Parameters<Paint>[0]; says: string }> = {
  identical: { colour: 'green', says: 'nothing differs from what is loaded' },
  'skill-content-only': { colour: 'green', says: 'hot' },
  cold: { colour: 'yellow', says: 'needs a restart' },
};

/** The cause of a change that no known operation made. A removed plugin was not edited. */
const editText = (reasons: readonly Reason[]): string =>
  reasons.some(({ path, change }) => path === '' && change === 'removed') ? 'removed' : 'edited in place';

/** The cause of a change that an agent reports. */
function causeText(cause: string, reasons: readonly Reason[]): string {
  if (cause === 'edit') return editText(reasons);
  return cause === 'swap' ? 'swapped in by another process' : `operation ${cause}`;
}

/** A change of a plugin, from an agent or from a root. */
type Change = {
  plugin: string;
  kind: WatchEvent['kind'];
  /** Further facts after the meaning. */
  beside: string;
  /** The cause. */
  cause: string;
  reasons: readonly Reason[];
  /** How many reasons there are. */
  total: number;
  /** Directories with a SKILL.md that changed; '' for the plugin itself. */
  skills: readonly string[];
};

function changeText({ plugin, kind, beside, cause, reasons, total, skills }: Change, paint: Paint): string {
  const { colour, says } = MEANS[kind];
  const isCold = kind === 'cold';
  const named = isCold ? reasons.map(reasonText) : skills.map((skill) => (skill === '' ? 'SKILL.md' : skill));
  const left = (isCold ? total : skills.length) - Math.min(NAMED_MAX, named.length);
  const what = [...named.slice(0, NAMED_MAX), ...(left > 0 ? [`and ${left} more`] : [])].join('; ');
  return `${paint('bold', safe(plugin))}  ${paint(colour, says)}${safe(beside)}  ${safe(cause)}${what === '' ? '' : `: ${safe(what)}`}`;
}

/** A change in a root. */
export function changeLine(event: WatchEvent, paint: Paint): string {
  const { plugin, kind, status, detail, skills, reasons, cause } = event;
  const why = detail === undefined ? '' : `, ${detail}`;
  return changeText(
    {
      plugin,
      kind,
      beside: status === 'admitted' ? '' : ` (${status}${why})`,
      cause: cause.by === 'swap' ? `swapped in by ${cause.installId}` : editText(reasons),
      reasons,
      total: reasons.length,
      skills,
    },
    paint,
  );
}

/** An event of an agent. */
export function eventLine(event: AgentEvent, paint: Paint): string {
  const { at, type } = event;
  const colour = type.endsWith('.failed') ? 'red' : 'green';
  return `${paint('dim', safe(at))}  ${paint(colour, safe(type))}${aboutText(event, paint)}`.trimEnd();
}

function aboutText(event: AgentEvent, paint: Paint): string {
  if (event.known && event.type === 'plugin.changed') {
    const { plugin, kind, restarting, reasons, cause } = event.data;
    const restarts = restarting ? '; somebody restarts it' : '; nobody restarts it';
    const skills = reasons.items.map(({ path }) => posix.dirname(path)).map((at) => (at === '.' ? '' : at));
    const beside = kind === 'cold' ? restarts : '';
    const change = {
      plugin,
      kind,
      beside,
      cause: causeText(cause, reasons.items),
      reasons: reasons.items,
      skills,
    };
    return `  ${changeText({ ...change, total: reasons.total }, paint)}`;
  }
  if (event.known && event.type === 'snapshot') {
    return `  ${plural(event.data.plugins.total, 'plugin')}; see "airlock list"`;
  }
  const { plugin, ...rest } =
    typeof event.data === 'object' && event.data !== null ? (event.data as Record<string, unknown>) : {};
  const fields = Object.entries(rest)
    .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
    .map(([name, value]) => `${safe(name)}=${safe(String(value))}`);
  const name = typeof plugin === 'string' ? `  ${paint('bold', safe(plugin))}` : '';
  return `${name}  ${fields.join(' ')}`;
}
