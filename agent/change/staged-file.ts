/** One file that is being staged: its hash and its first bytes, which are known when its last byte is there. */
import { createHash, hash, type Hash } from 'node:crypto';

import { type FileHead, fileHead, HEAD_BYTES, mayHaveHead } from '../../shared/rule/plugin/file-head.ts';
import { type FileEntry, isAppleDouble, mayBeAppleDouble } from '../../shared/format/tree.ts';

const NO_BYTES = Buffer.alloc(0);
/** The sha256 of a file without bytes. */
const EMPTY = hash('sha256', NO_BYTES, 'hex');

/** The permissions that a staged file gets. */
export const bitsOf = (mode: FileEntry['mode']): number => (mode === '755' ? 0o755 : 0o644);

export class StagedFile {
  readonly path: string;
  readonly fd: number;
  /** The bytes are in the file already, and are only read. */
  readonly isWritten: boolean;
  readonly #mode: FileEntry['mode'];
  /** As the header says, or the file that is copied. */
  readonly #declared: number;
  /** The sha256 of a file whose bytes came in one piece; '' before that. */
  #sha256 = '';
  /** Hashes a file whose bytes come in several pieces. */
  #hash: Hash | undefined;
  #size = 0;
  /** The first bytes, {@link HEAD_BYTES} at most; undefined if they say nothing. */
  #head: Buffer | undefined = NO_BYTES;

  constructor(
    path: string,
    fd: number,
    { size, mode }: Pick<FileEntry, 'size' | 'mode'>,
    isWritten: boolean = false,
  ) {
    this.path = path;
    this.fd = fd;
    this.isWritten = isWritten;
    this.#declared = size;
    this.#mode = mode;
  }

  /** Looks at the next bytes. */
  add(chunk: Buffer): void {
    if (this.#size === 0 && !mayHaveHead(chunk[0], this.#declared) && !mayBeAppleDouble(this.path)) {
      this.#head = undefined;
    }
    if (this.#head !== undefined && this.#head.length < HEAD_BYTES) {
      this.#head = Buffer.concat([this.#head, chunk.subarray(0, HEAD_BYTES - this.#head.length)]);
    }
    if (chunk.length === this.#declared && this.#size === 0) {
      this.#sha256 = hash('sha256', chunk, 'hex');
    } else {
      this.#hash ??= createHash('sha256');
      this.#hash.update(chunk);
    }
    this.#size += chunk.length;
  }

  /** Whether it is one that macOS has added. */
  get isAppleDouble(): boolean {
    return this.#head !== undefined && mayBeAppleDouble(this.path) && isAppleDouble(this.#head);
  }

  /** What its first bytes say; undefined if they say nothing. */
  get head(): FileHead | undefined {
    return this.#head === undefined ? undefined : fileHead(this.#head, this.#size);
  }

  /** The file as it is listed. To be asked once, after the last bytes. */
  end(): FileEntry {
    const sha256 = this.#sha256 === '' ? (this.#hash?.digest('hex') ?? EMPTY) : this.#sha256;
    return { path: this.path, size: this.#size, mode: this.#mode, sha256 };
  }
}
