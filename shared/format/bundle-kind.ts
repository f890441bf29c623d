/** Tells what a file is by its first bytes, so that one that is no bundle is named for what it is. Pure. */

const SIGNATURES: readonly (readonly [start: string, name: string])[] = [
  ['\x1f\x8b', 'gzip'],
  ['\x28\xb5\x2f\xfd', 'zstd'],
  ['PK\x03\x04', 'zip'],
  ['PK\x05\x06', 'zip'],
  ['\xfd7zX', 'xz'],
  ['BZh', 'bzip2'],
  ['\x04\x22\x4d\x18', 'lz4'],
  ['LZIP', 'lzip'],
  ['7z\xbc\xaf', '7-Zip'],
  ['\x1f\x9d', 'compress'],
];

/** So many bytes are enough. */
export const BUNDLE_HEAD_BYTES = 512;

/**
 * The name of an archive or compression, or `text`; undefined for a tar and for anything unknown.
 *
 * @param head the first bytes of the file, as many as there are.
 */
export function bundleKind(head: Buffer): string | undefined {
  const start = head.toString('latin1', 0, 8);
  const found = SIGNATURES.find(([signature]) => start.startsWith(signature));
  if (found !== undefined) {
    return found[1];
  }
  // The header of a tar has bytes of zero, which no text has.
  const isText = head.length > 0 && head.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d));
  return isText ? 'text' : undefined;
}
