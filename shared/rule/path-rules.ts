/**
 * The rules for names of entries. Pure: takes the name in the archive and returns the clean relative path, or every rule
 * that it breaks. A path is checked here before anything is written to it.
 */
import { MARKER, RESERVED } from '../format/layout.ts';

const SEGMENT_BYTES = 255;
const PATH_BYTES = 1024;

/** Numbers as in docs/archives.md; errors and tests cite them. */
type Rule = { rule: number; breaks: (name: Name) => boolean; what: string };
type Name = { raw: string; segments: string[]; directory: boolean; maxDepth: number };

const has = (segments: string[], test: (segment: string) => boolean): boolean => segments.some(test);
const climbs = (segments: string[]): boolean => {
  let depth = 0;
  return segments.some((segment) => {
    depth += segment === '..' ? -1 : 1;
    return depth < 0;
  });
};
const hasControl = (text: string): boolean => {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f) || code === 0x20_28 || code === 0x20_29) {
      return true;
    }
  }
  return false;
};
const BIDI = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u;
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i;

const NOT_FREE = { rule: 23, what: 'its first name is reserved for Airlock' };

const RULES: Rule[] = [
  { rule: 12, breaks: ({ raw }) => raw === '', what: 'it has no name' },
  { rule: 14, breaks: ({ raw }) => raw.includes('\0'), what: 'it holds a NUL' },
  { rule: 17, breaks: ({ raw }) => raw.includes('\u{FFFD}'), what: 'it is not valid UTF-8: rename it' },
  {
    rule: 15,
    breaks: ({ raw }) => hasControl(raw),
    what: 'it holds control characters',
  },
  {
    rule: 16,
    breaks: ({ raw }) => BIDI.test(raw),
    what: 'it holds characters that change the direction of text',
  },
  {
    rule: 8,
    breaks: ({ raw }) => /^(?:\\\\|\/\/)/.test(raw) && !/^\/{3,}/.test(raw),
    what: 'it names a network share',
  },
  { rule: 4, breaks: ({ raw }) => /^\/[^/]/.test(raw) || raw === '/', what: 'it is absolute' },
  { rule: 5, breaks: ({ raw }) => /^\/{3,}/.test(raw), what: 'it is absolute' },
  { rule: 6, breaks: ({ raw }) => /^[A-Za-z]:[\\/]/.test(raw), what: 'it names a drive' },
  { rule: 7, breaks: ({ raw }) => /^[A-Za-z]:(?![\\/])/.test(raw), what: 'it names a drive' },
  {
    rule: 9,
    breaks: ({ raw }) => raw.split('\\').includes('..'),
    what: 'it leads out of the archive by "..\\"',
  },
  {
    rule: 10,
    breaks: ({ raw }) => raw.includes('\\'),
    what: 'it holds a backslash: the packer ran on Windows, pack with "airlock pack" or forward slashes',
  },
  { rule: 1, breaks: ({ segments }) => segments[0] === '..', what: 'it leads out of the archive' },
  {
    rule: 2,
    breaks: ({ segments }) => segments[0] !== '..' && climbs(segments),
    what: 'it leads out of the archive',
  },
  {
    rule: 3,
    breaks: ({ segments }) => segments.includes('..') && !climbs(segments),
    what: 'it holds "..": write the path without it',
  },
  {
    rule: 13,
    breaks: ({ raw, segments, directory }) =>
      raw !== '' && !raw.startsWith('/') && segments.length === 0 && !directory,
    what: 'a file cannot be called "."',
  },
  {
    rule: 18,
    breaks: ({ segments }) =>
      has(segments, (segment) => segment !== '..' && (DEVICE.test(segment) || /[. ]$/.test(segment))),
    what: 'Windows cannot hold that name (a device, or a dot or space at its end)',
  },
  {
    rule: 19,
    breaks: ({ raw, segments }) =>
      !/^[A-Za-z]:[\\/]/.test(raw) && has(segments, (segment) => segment.includes(':')),
    what: 'it holds a colon, which names a stream on Windows',
  },
  {
    rule: 20,
    breaks: ({ segments }) => has(segments, (segment) => Buffer.byteLength(segment) > SEGMENT_BYTES),
    what: `a name in it is longer than ${SEGMENT_BYTES} bytes`,
  },
  {
    rule: 21,
    breaks: ({ segments }) => Buffer.byteLength(segments.join('/')) > PATH_BYTES,
    what: `it is longer than ${PATH_BYTES} bytes`,
  },
  {
    rule: 22,
    breaks: ({ segments, maxDepth }) => segments.length > maxDepth,
    what: 'it is nested deeper than this agent accepts',
  },
  {
    ...NOT_FREE,
    breaks: ({ segments }) => RESERVED.has((segments[0] ?? '').toLowerCase()),
  },
];

type RuleCode =
  | 'ARCHIVE_PATH'
  | 'ARCHIVE_COLLISION'
  | 'ARCHIVE_TYPE'
  | 'ARCHIVE_METADATA'
  | 'ARCHIVE_AMBIGUOUS'
  | 'ARCHIVE_CORRUPT'
  | 'LIMIT_ENTRIES';

/** The code of a broken rule: the numbers are grouped by code. Limits have their own codes. */
export function codeOfRule(rule: number): RuleCode {
  const groups: [last: number, code: RuleCode][] = [
    [24, 'ARCHIVE_PATH'],
    [31, 'ARCHIVE_COLLISION'],
    [54, 'ARCHIVE_TYPE'],
    [62, 'ARCHIVE_METADATA'],
    [77, 'ARCHIVE_AMBIGUOUS'],
    [92, 'ARCHIVE_CORRUPT'],
    [100, 'LIMIT_ENTRIES'],
    [104, 'ARCHIVE_AMBIGUOUS'],
  ];
  return groups.find(([last]) => rule <= last)?.[1] ?? 'LIMIT_ENTRIES';
}

/** A broken rule: its number and what is wrong. */
export type BrokenRule = { rule: number; what: string };
export type Checked = { ok: true; path: string } | { ok: false; breaks: BrokenRule[] };

/**
 * Checks one name.
 *
 * @returns the path with single slashes and without `.`; '' for the root itself (a directory of slashes and dots).
 */
export function checkPath(raw: string, directory: boolean, maxDepth: number): Checked {
  const segments = raw.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (directory && raw !== '' && segments.length === 0) {
    return { ok: true, path: '' };
  }
  const name = { raw, segments, directory, maxDepth };
  const breaks = RULES.filter((rule) => rule.breaks(name)).map(({ rule, what }) => ({ rule, what }));
  return breaks.length === 0 ? { ok: true, path: segments.join('/') } : { ok: false, breaks };
}

/** Names with the same key may be one name on another system. */
const keyOf = (path: string): string => path.normalize('NFC').toLowerCase();

/** An entry of a plugin whose paths are clean and relative to its root. */
type Placed = { path: string; kind: 'file' | 'directory' };

/** Every rule that the paths of a whole plugin break, as the agent would find them in an archive of it. */
export function checkPaths(entries: readonly Placed[], maxDepth: number): (BrokenRule & { path: string })[] {
  const claims = new Claims();
  return entries.flatMap(({ path, kind }) => {
    const checked = checkPath(path, kind === 'directory', maxDepth);
    if (!checked.ok) {
      return checked.breaks.map((broken) => ({ path, ...broken }));
    }
    // The agent would write its marker in its place.
    if (path.toLowerCase() === MARKER) {
      return [{ path, ...NOT_FREE }];
    }
    const clash = claims.claim(path, kind);
    return clash === undefined ? [] : [{ path, ...clash }];
  });
}

type Claim = { path: string; kind: 'file' | 'directory'; raw: string };

/** Finds entries with the same place, on this or on another file system. */
export class Claims {
  readonly #places = new Map<string, Claim>();
  readonly #directories = new Set<string>();
  /** Directories that are not empty. */
  readonly #filled = new Set<string>();

  /** The kind of entry with exactly this path. */
  kindOf(path: string): Claim['kind'] | undefined {
    const claim = this.#places.get(keyOf(path));
    return claim?.path === path ? claim.kind : undefined;
  }

  /**
   * Claims a path and all directories above it. @returns what is wrong with that, if anything.
   *
   * @param raw the path as the archive spells it.
   */
  claim(path: string, kind: 'file' | 'directory', raw: string = path): BrokenRule | undefined {
    const above = parentOf(path);
    if (above !== '' && !this.#directories.has(above)) {
      const trouble = this.claim(above, 'directory');
      if (trouble !== undefined) {
        return trouble.rule === 30 ? { rule: 29, what: `it is below "${above}", which is a file` } : trouble;
      }
    }
    const key = keyOf(path);
    const other = this.#places.get(key);
    if (other === undefined) {
      this.#places.set(key, { path, kind, raw });
      this.#filled.add(above);
      if (kind === 'directory') {
        this.#directories.add(path);
      }
      return undefined;
    }
    const trouble = collision({ path, kind, raw }, other);
    return trouble?.rule === 30 && this.#filled.has(path)
      ? { rule: 31, what: 'it is a file in one entry, and a directory with content in others' }
      : trouble;
  }
}

function collision({ path, kind, raw }: Claim, other: Claim): BrokenRule | undefined {
  if (other.path !== path) {
    return path.normalize('NFC') === other.path.normalize('NFC')
      ? { rule: 28, what: 'another entry has the same name in another Unicode form' }
      : { rule: 27, what: `"${other.path}" differs from it only in case` };
  }
  if (kind === 'directory' && other.kind === 'directory') {
    return undefined;
  }
  if (kind === other.kind) {
    return raw === other.raw
      ? { rule: 25, what: 'two entries have this path' }
      : { rule: 26, what: `"${other.raw}" is another spelling of the same path` };
  }
  return { rule: 30, what: 'it is a file in one entry and a directory in another' };
}

/** The directory that holds a path; '' for a path at the root. */
export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** All directories above a path, the nearest first. */
export function parentsOf(path: string): string[] {
  const above: string[] = [];
  for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) {
    above.push(parent);
  }
  return above;
}
