/** An entry of a tar, put together from its headers, and what in them contradicts itself. */

type Kind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';

/** An entry as all its headers together say it. */
export type TarEntry = {
  kind: Kind;
  /** One character, as in the header. */
  type: string;
  path: string;
  /** The part of the path that stood in the prefix of a ustar header. */
  prefix: string;
  /** Where a link points to. */
  target: string;
  size: number;
  mode: number;
  /** NaN where it is no number, as all that follows. */
  uid: number;
  gid: number;
  mtime: number;
  /** The records of its pax header. */
  records: ReadonlyMap<string, string>;
};

const KINDS: Record<string, Kind> = {
  '0': 'file',
  '\0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};

/** What an entry is. Of old, a directory is told by the slash at its end. */
export function kindOf(type: string, path: string): Kind {
  const kind = KINDS[type] ?? 'other';
  return kind === 'file' && path.endsWith('/') ? 'directory' : kind;
}

/** The size that all headers agree on, or the rule that is broken. */
export function sizeOf(said: number, record: string | undefined): number | [rule: number, what: string] {
  if (Number.isNaN(said)) {
    return [75, 'its size is no octal number'];
  }
  if (said < 0) {
    return [67, 'its size is negative'];
  }
  if (record !== undefined && !/^\d+$/.test(record)) {
    return [66, 'the size in its pax header is negative or no number'];
  }
  if (!Number.isSafeInteger(said) || (record !== undefined && !Number.isSafeInteger(Number(record)))) {
    return [68, 'its size is beyond what can be counted'];
  }
  return record === undefined || Number(record) === said
    ? said
    : [63, `its size is ${said} in its header and ${record.slice(0, 20)} in its pax header`];
}

/** What makes it uncertain where the next header is: readers differ in whether these have a body. */
export function framing(kind: Kind, type: string, size: number): [rule: number, what: string] | undefined {
  if (kind === 'directory' && size > 0) {
    return [74, 'it is a directory and has a size'];
  }
  if ((kind === 'symlink' || kind === 'hardlink' || '346'.includes(type)) && size > 0) {
    return [54, 'it is a link or device and has a size'];
  }
  return undefined;
}
