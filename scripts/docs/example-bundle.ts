/** A small bundle whose bytes depend on nothing but its files: its gzip stores them, so that no version of zlib matters. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

import { END_OF_ARCHIVE, headerOf, padding } from '../../shared/archive/ustar.ts';
import { treeDigest } from '../../shared/format/tree.ts';
import { type VectorFile, entriesOf } from './tree-vectors.ts';

export type ExampleBundle = {
  files: VectorFile[];
  bytes: Buffer;
  size: number;
  sha256: string;
  /** The digest of its files. */
  tree: string;
};

const STORED_MAX = 0xffff;

/** A gzip that holds the bytes as they are (RFC 1952, RFC 1951 3.2.4). */
function stored(plain: Buffer): Buffer {
  const blocks: Buffer[] = [Buffer.from('1f8b08000000000000ff', 'hex')];
  for (let at = 0; at < plain.length; at += STORED_MAX) {
    const part = plain.subarray(at, at + STORED_MAX);
    const head = Buffer.alloc(5);
    head.writeUInt8(at + part.length === plain.length ? 1 : 0, 0);
    head.writeUInt16LE(part.length, 1);
    head.writeUInt16LE(~part.length & 0xffff, 3);
    blocks.push(head, part);
  }
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(crc32(plain), 0);
  tail.writeUInt32LE(plain.length, 4);
  return Buffer.concat([...blocks, tail]);
}

/** @param files path → text. */
export function exampleBundle(texts: Readonly<Record<string, string>>): ExampleBundle {
  const files = Object.entries(texts).map(([path, text]): VectorFile => ({
    path,
    mode: path.endsWith('.sh') ? '755' : '644',
    base64: Buffer.from(text, 'utf8').toString('base64'),
  }));
  const entries = entriesOf(files);
  const blocks = entries.flatMap((entry, i) => {
    const content = Buffer.from(files[i]?.base64 ?? '', 'base64');
    return [headerOf({ kind: 'file', ...entry }), content, padding(content.length)];
  });
  const bytes = stored(Buffer.concat([...blocks, END_OF_ARCHIVE]));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { files, bytes, size: bytes.length, sha256, tree: treeDigest(entries) };
}

/** A version of the plugin of the examples. */
export const greeting = (version: string): ExampleBundle =>
  exampleBundle({
    'plugin.yaml': `name: greeting\nversion: ${version}\n`,
    'skills/greet/SKILL.md': `---\nname: greet\ndescription: Greets as version ${version} does.\n---\n\nSay hello.\n`,
  });
