/** What a runtime may have loaded of one plugin: a set of trees, and what adds to it and takes away from it. Pure. */
import type { RuntimeState } from '../format/state.ts';
import type { FileEntry, Ignore } from '../format/tree.ts';
import { type Basis, type Verdict, classify, isSkill } from './classify.ts';

/** Stands for a version of which nobody can say which one it is. No generation has this name. */
export const UNKNOWN = 'unknown';

type Candidate = RuntimeState['candidates'][number];

/** What happens to the runtime, or to what is live. */
export type RuntimeEvent =
  /**
   * The runtime has loaded this version, as it says itself or as somebody says who has restarted it.
   *
   * @param live what is live now.
   */
  | { type: 'reported'; generation: string | null; at: string | undefined; live: string | null }
  /** @param live what is live while it begins. @param promised whether it is to be made up for if it fails. */
  | { type: 'restart-began'; live: string | null; promised: boolean }
  /** A restart has ended well. @param live all versions that were live since it began, the oldest first. */
  | { type: 'restart-ended'; live: readonly (string | null)[]; at: string }
  /**
   * @param restart `assumed`: whoever asks restarts at once, and nobody tells of it. @param runs a restart runs now, whatever was
   * said when it began.
   */
  | {
      type: 'live-changed';
      to: string | null;
      kind: Verdict['kind'];
      restart: 'assumed' | 'promised' | 'none';
      runs?: boolean;
    }
  /** The change of `live-changed` was not made. @param live what is live, as before: its edits are looked for again. */
  | { type: 'live-unchanged'; to: string | null; live: string | null }
  /** Files of a version were edited in place. */
  | { type: 'edited'; generation: string; paths: readonly string[] };

/** The state in which one version is loaded, as far as anybody can say. */
export const loadedState = (generation: string | null): RuntimeState => ({
  candidates: [{ generation, edited: [] }],
  restart: 'none',
});

/** More candidates than these are not told apart. */
const CANDIDATES_MAX = 8;
/** More edited paths than these are not told apart, nor longer ones (characters together). */
const EDITED_MAX = { paths: 20, characters: 8192 };

/** The state after an event. */
export function reduce(state: RuntimeState, event: RuntimeEvent): RuntimeState {
  const { candidates, restart } = state;
  switch (event.type) {
    case 'reported':
      return report(state, event);
    case 'restart-began':
      return {
        ...state,
        candidates: withOne(candidates, event.live),
        restart: event.promised ? 'promised' : 'running',
      };
    case 'restart-ended':
      return {
        candidates: bounded(event.live.map((generation) => candidateOf(candidates, generation))),
        restart: event.live.length > 1 && restart === 'promised' ? 'promised' : 'none',
        reportedAt: event.at,
      };
    case 'live-changed':
      return changeLive(state, event);
    case 'live-unchanged': {
      // What was taken to be loaded before stays so, and so does an earlier time at which there was no version.
      const last = restart === 'none' ? undefined : candidates.length - 1;
      const isAdded = ({ generation }: Candidate, i: number): boolean =>
        generation === event.to && i > 0 && (i === last || !isRepeated(generation));
      const rest = candidates.filter((one, i) => !isAdded(one, i));
      return {
        ...state,
        candidates: rest.map((one) => (one.generation === event.live ? { ...one, edited: [] } : one)),
      };
    }
    case 'edited':
      return {
        ...state,
        candidates: candidates.map((one) =>
          one.generation === event.generation ? { ...one, edited: merge(one.edited, event.paths) } : one,
        ),
      };
    default:
      return event satisfies never;
  }
}

/**
 * The runtime has loaded this version at that moment. Candidates that became live after it stay, for a restart may have loaded them
 * since. Nothing became live after what is live now, whatever the time of the report.
 *
 * A version that is no candidate became live after all of them, unless a restart has added some: then it replaces the first
 * one. A report of such a version that is not newer than the last report takes nothing away.
 */
function report(
  state: RuntimeState,
  { generation, at, live }: Extract<RuntimeEvent, { type: 'reported' }>,
): RuntimeState {
  const { candidates, reportedAt, restart } = state;
  const found = candidates.findLastIndex((one) => one.generation === generation);
  const isNewer = at !== undefined && (reportedAt === undefined || Date.parse(at) > Date.parse(reportedAt));
  const earlier = restart === 'none' ? candidates.length : 1;
  const isLast = generation === live && !isRepeated(generation);
  const later = isLast ? [] : candidates.slice(found >= 0 ? found + 1 : isNewer ? earlier : 0);
  const last = isNewer ? at : reportedAt;
  return {
    candidates: bounded([candidateOf(candidates, generation), ...later]),
    restart: later.length === 0 ? 'none' : restart,
    ...(last === undefined ? {} : { reportedAt: last }),
  };
}

function changeLive(
  state: RuntimeState,
  { to, kind, restart, runs }: Extract<RuntimeEvent, { type: 'live-changed' }>,
): RuntimeState {
  if (kind === 'cold' && restart === 'assumed') {
    return loadedState(to);
  }
  const isPromised = kind === 'cold' && restart === 'promised';
  // What is not cold can be read by the runtime as it is: skills are read again.
  const open = runs === true && state.restart === 'none' ? 'running' : state.restart;
  const mayBeLoaded = isPromised || kind !== 'cold' || open !== 'none';
  return {
    ...state,
    candidates: mayBeLoaded ? withOne(state.candidates, to) : state.candidates,
    restart: isPromised ? 'promised' : open,
  };
}

const candidateOf = (candidates: readonly Candidate[], generation: string | null): Candidate =>
  candidates.find((one) => one.generation === generation) ?? { generation, edited: [] };

/** "No version", and one without a name, become live more than once. Each time is a candidate, for any may be reported. */
const isRepeated = (generation: string | null): boolean => generation === null || generation === UNKNOWN;

function withOne(candidates: readonly Candidate[], generation: string | null): Candidate[] {
  const has = isRepeated(generation)
    ? candidates.at(-1)?.generation === generation
    : candidates.some((one) => one.generation === generation);
  return has ? [...candidates] : bounded([...candidates, { generation, edited: [] }]);
}

/** The first and the last candidates stay; one of which nobody knows the files stands for those between. */
function bounded(candidates: Candidate[]): Candidate[] {
  const [first] = candidates;
  if (first === undefined || candidates.length <= CANDIDATES_MAX) {
    return candidates;
  }
  const last = candidates.slice(-(CANDIDATES_MAX - 2)).filter(({ generation }) => generation !== UNKNOWN);
  return [first, { generation: UNKNOWN, edited: [] }, ...last];
}

function merge(before: readonly string[], paths: readonly string[]): string[] {
  const all = [...new Set([...before, ...paths])];
  const isTooMuch = all.length > EDITED_MAX.paths || all.join('').length > EDITED_MAX.characters;
  return isTooMuch ? [''] : all;
}

/** The files of a generation; undefined if nobody can say. */
export type ListOf = (generation: string) => readonly FileEntry[] | undefined;

/**
 * What a change is compared with: the files of the first candidate, and each path of which another candidate has something
 * else. That is the worst over all candidates, for the new version differs from at least one of them in such a path.
 *
 * While a restart is promised or runs, no change is hot. A report of the new version would not tell whether the runtime was
 * restarted or has read the skills only.
 */
export function basisOf(state: RuntimeState, listOf: ListOf, ignore: Ignore): Basis {
  const [first, ...others] = state.candidates;
  const generation = first?.generation ?? null;
  if (first === undefined || generation === null) {
    return { kind: 'unknown', why: 'no version is loaded' };
  }
  const list = listOf(generation);
  if (list === undefined) {
    return {
      kind: 'unknown',
      why: `nobody can say what the files of the loaded version were (${generation})`,
    };
  }
  const differing = others.flatMap((other) => {
    const files = other.generation === null ? undefined : listOf(other.generation);
    return [...(files === undefined ? [''] : pathsBetween(list, files, ignore)), ...other.edited];
  });
  const edited = [...new Set([...first.edited, ...differing])];
  const isDecided = state.restart === 'none' || !edited.every(isSkill);
  return { kind: 'tree', list, edited: isDecided ? edited : [...edited, ''] };
}

/** A skill is hot by its path. Where one was added, removed or changed its mode the whole plugin is named as well. */
function pathsBetween(before: readonly FileEntry[], after: readonly FileEntry[], ignore: Ignore): string[] {
  const { kind, reasons } = classify(before, after, { ignore });
  const paths = reasons.map(({ path }) => path);
  return kind === 'cold' && paths.every(isSkill) ? [...paths, ''] : paths;
}
