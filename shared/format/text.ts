/** From the bytes of a file to its text. */
import type { FileReading } from './layout.ts';

const UTF8_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Editors of Windows begin a text with a byte order mark, which is not part of it. UTF-16 is named, not guessed at. */
export function textIn(bytes: Buffer): Exclude<FileReading, { kind: 'absent' }> {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return { kind: 'unreadable', why: 'it is UTF-16, and only UTF-8 is read' };
  }
  const isMarked = bytes.subarray(0, UTF8_MARK.length).equals(UTF8_MARK);
  return { kind: 'text', text: bytes.toString('utf8', isMarked ? UTF8_MARK.length : 0) };
}
