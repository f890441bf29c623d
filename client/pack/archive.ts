/** Writes walked entries as a tar archive, block by block: a bundle need not fit into memory. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { errorCode, Fault } from '../../shared/api/fault.ts';
import { type FileEntry, modeOf } from '../../shared/format/tree.ts';
import { type FileHead, fileHead, HEAD_BYTES } from '../../shared/rule/plugin/file-head.ts';
import { SecretScan } from './secrets.ts';
import { END_OF_ARCHIVE, headerOf, padding } from '../../shared/archive/ustar.ts';
import type { Walked, WalkedFile, WalkedText } from './walk.ts';

const CHUNK_BYTES = 256 * 1024;

/** What is seen of a file while it is packed: whether a secret is in it, and what its first bytes say. */
type FileSeen = { isSecret: boolean; head: FileHead | undefined };

/**
 * The blocks of the archive. `onFile` gets each file with its size and hash, and what was seen of it.
 *
 * @throws Fault INVALID_PARAMS for a file that cannot be read or changes meanwhile.
 */
export async function* archive(
  entries: readonly Walked[],
  onFile: (file: FileEntry, seen: FileSeen) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for (const entry of entries) {
    if (entry.kind === 'directory') {
      yield headerOf(entry);
    } else if (entry.kind === 'text') {
      yield* textBlocks(entry, onFile);
    } else {
      yield* fileBlocks(entry, onFile);
    }
  }
  yield END_OF_ARCHIVE;
}

function* textBlocks(
  { path, text }: WalkedText,
  onFile: (file: FileEntry, seen: FileSeen) => void,
): Generator<Buffer> {
  const bytes = Buffer.from(text, 'utf8');
  const file: FileEntry = {
    path,
    size: bytes.length,
    mode: '644',
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
  const scan = new SecretScan(path);
  scan.read(bytes);
  yield headerOf({ kind: 'file', ...file });
  yield bytes;
  yield padding(bytes.length);
  onFile(file, { isSecret: scan.found, head: fileHead(bytes.subarray(0, HEAD_BYTES), bytes.length) });
}

async function* fileBlocks(
  { path, source, mode: known }: WalkedFile,
  onFile: (file: FileEntry, seen: FileSeen) => void,
): AsyncGenerator<Buffer, void, undefined> {
  // Does not follow a link that was made since the walk, and does not wait for a pipe.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(source, flags).catch((error: unknown) => {
    throw spoilt(path, `it cannot be read: ${(error as Error).message}`, error);
  });
  try {
    const before = await file.stat();
    if (!before.isFile()) throw spoilt(path, 'it is no longer a file');
    const { size } = before;
    const mode = known ?? modeOf(before.mode);
    yield headerOf({ kind: 'file', path, size, mode });
    const hash = createHash('sha256');
    const scan = new SecretScan(path);
    let first = Buffer.alloc(0);
    let at = 0;
    while (at < size) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw spoilt(path, 'it has become shorter while it was packed');
      const part = buffer.subarray(0, bytesRead);
      hash.update(part);
      scan.read(part);
      if (first.length < HEAD_BYTES) first = Buffer.concat([first, part.subarray(0, HEAD_BYTES)]);
      at += bytesRead;
      yield part;
    }
    const after = await file.stat();
    if (after.size !== size || after.mtimeMs !== before.mtimeMs) {
      throw spoilt(path, 'it was changed while it was packed');
    }
    yield padding(size);
    const head = fileHead(first.subarray(0, HEAD_BYTES), size);
    onFile({ path, size, mode, sha256: hash.digest('hex') }, { isSecret: scan.found, head });
  } finally {
    await file.close();
  }
}

const spoilt = (path: string, why: string, cause?: unknown): Fault =>
  new Fault('INVALID_PARAMS', `Packing "${path}" failed: ${why}`, {
    cause,
    hint: /^(?:EACCES|EPERM)$/.test(errorCode(cause) ?? '')
      ? 'Make it readable, or leave it out with an .airlockignore'
      : 'Pack again while nothing changes the plugin',
  });
