/** What the first bytes of a file say about it. Pure, and cheap enough for every file that goes by. */

/** As many bytes as {@link fileHead} reads. */
export const HEAD_BYTES = 256;

/** A file of which its first bytes say something. */
export type FileHead =
  | { kind: 'script'; isCrlf: boolean }
  | { kind: 'lfs-pointer' }
  | { kind: 'path'; target: string };

const LFS = 'version https://git-lfs.github.com/spec/';
/** A pointer is smaller than this, by its specification. */
const LFS_BYTES = 1024;
/** One line without an end, and without what a path in a repository rarely holds. */
const PATH = /^[\w.@+-][\w.@+/ -]*$/;

/** Whether a file that begins with this byte can have something to say. For most files the other bytes need not be kept. */
export const mayHaveHead = (byte: number | undefined, size: number): boolean =>
  byte === 0x23 || byte === 0x76 || size <= HEAD_BYTES;

/**
 * @param first the first bytes, {@link HEAD_BYTES} of them or all.
 * @param size of the whole file.
 */
export function fileHead(first: Buffer, size: number): FileHead | undefined {
  if (first[0] === 0x23 && first[1] === 0x21) {
    const end = first.indexOf(0x0a);
    return { kind: 'script', isCrlf: end > 0 && first[end - 1] === 0x0d };
  }
  if (size < LFS_BYTES && first[0] === 0x76 && first.toString('latin1', 0, LFS.length) === LFS) {
    return { kind: 'lfs-pointer' };
  }
  if (size > 2 && size <= HEAD_BYTES && first.at(-1) !== 0x0a) {
    const target = first.toString('latin1', 0, size);
    if (PATH.test(target) && /[./]/.test(target)) {
      return { kind: 'path', target };
    }
  }
  return undefined;
}
