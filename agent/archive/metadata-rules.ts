/** The owner, mode, times and attributes of entries: none of them is used, some of them are refused. */
import type { FaultCode } from '../../shared/api/fault.ts';
import { type BrokenRule, codeOfRule } from '../../shared/rule/path-rules.ts';
import { escape } from '../../shared/api/violations.ts';
import { type Finding, finding } from '../../shared/rule/plugin/finding.ts';
import type { TarEntry } from './tar-header.ts';

const IDS = 2 ** 32;
/** A later time is a mistake. */
const FAR_FUTURE = 2 ** 32;
/** No mode has more bits. */
const MODES = 2 ** 32;
const SECONDS = /^-?\d+(?:\.\d*)?$/;
const ATTRIBUTES =
  /^(?:SCHILY\.xattr|SCHILY\.acl|LIBARCHIVE\.xattr|LIBARCHIVE\.creationtime$|RHT\.security|SUN\.holesdata)/;

const WARNINGS: Record<number, string> = {
  56: 'nobody may read it; its mode is ignored',
  57: 'it belongs to another user; its owner is ignored',
  60: 'its time is far from now; it is ignored',
  61: 'anybody may write it; its mode is ignored',
  62: 'it has extended attributes or ACLs; they are left out',
};

/** The rules that the metadata of an entry breaks. */
export function checkMetadata(entry: TarEntry): (BrokenRule & { code: FaultCode })[] {
  const { kind, mode, records } = entry;
  const breaks: BrokenRule[] = [];
  const isMode = mode >= 0 && mode < MODES;
  if (isMode && kind === 'file' && (mode & 0o6000) !== 0) {
    breaks.push({ rule: 55, what: 'it is setuid or setgid' });
  }
  const ids = [idOf(entry.uid, records.get('uid')), idOf(entry.gid, records.get('gid'))];
  if (ids.some((id) => id < 0 || id >= IDS)) {
    breaks.push({ rule: 58, what: 'the number of its owner is not valid' });
  }
  if (['mtime', 'atime', 'ctime'].some((key) => !SECONDS.test(records.get(key) ?? '0'))) {
    breaks.push({ rule: 59, what: 'its time is not a number' });
  }
  if ([mode, entry.uid, entry.gid, entry.mtime].some(Number.isNaN)) {
    breaks.push({ rule: 75, what: 'a field of its header is not an octal number' });
  } else if (!isMode || !Number.isFinite(entry.mtime)) {
    // Written as bytes (base-256), every content of the field is a number.
    breaks.push({ rule: 75, what: 'its mode or time is a number that no tar writes' });
  }
  if (hasSparse(records)) {
    breaks.push({
      rule: 49,
      what: 'it is a sparse file: pack it without "--sparse", with bsdtar by "--no-read-sparse"',
    });
  }
  return breaks.map(({ rule, what }) => ({ rule, what, code: codeOfRule(rule) }));
}

const hasSparse = (records: TarEntry['records']): boolean =>
  records.size > 0 && [...records.keys()].some((key) => key.startsWith('GNU.sparse.'));

const idOf = (said: number, record: string | undefined): number =>
  record === undefined ? said : /^\d+$/.test(record) ? Number(record) : -1;

/** Warnings about ignored metadata: one for each rule, with the number of entries. */
export class ArchiveWarnings {
  readonly #seen = new Map<number, { first: string; count: number }>();
  /** Users whose files cause no warning: root, and the owner of installed files. */
  readonly #own: ReadonlySet<number>;

  constructor(owner: { uid: number } | undefined) {
    this.#own = new Set([0, owner?.uid ?? process.getuid?.() ?? 0]);
  }

  note({ kind, path, mode, uid, mtime, records }: TarEntry): void {
    const isLink = kind === 'symlink' || kind === 'hardlink';
    const time = Number(records.get('mtime') ?? mtime);
    if (!isLink && (mode & 0o777) === 0) this.#count(56, path);
    if (!this.#own.has(idOf(uid, records.get('uid')))) this.#count(57, path);
    if (time < 0 || time >= FAR_FUTURE) this.#count(60, path);
    if (!isLink && (mode & 0o002) !== 0) this.#count(61, path);
    if (records.size > 0 && [...records.keys()].some((key) => ATTRIBUTES.test(key))) this.#count(62, path);
  }

  get findings(): Finding[] {
    return [...this.#seen].map(([rule, { first, count }]) => {
      const others = count === 1 ? '' : `, and ${count - 1} more`;
      const message = `${WARNINGS[rule] ?? ''} (rule ${rule}${others})`;
      return finding('archive-remark', escape(first.slice(0, 300)), message);
    });
  }

  #count(rule: number, path: string): void {
    const seen = this.#seen.get(rule);
    if (seen === undefined) this.#seen.set(rule, { first: path, count: 1 });
    else seen.count += 1;
  }
}
