/** Bytes on their way to a thread: as many messages as the thread can take, however small the frames are. */
import { WIRE } from '../../shared/rpc.ts';

/** A quarter of what may be on its way: the thread always has the next message, and few of them are enough. */
const MESSAGE_BYTES = WIRE.windowBytes / 4;

/** While the thread is busy, what comes in is gathered to messages of the largest size. */
export class Batch {
  readonly #say: (bytes: Uint8Array<ArrayBuffer>) => void;
  #gathered: Uint8Array<ArrayBuffer> | undefined;
  #length = 0;
  #underWay = 0;

  constructor(say: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#say = say;
  }

  /** Copies the data: its buffer belongs to somebody else. */
  add(data: Uint8Array): void {
    if (this.#underWay === 0 && data.length > 0) {
      this.#send(new Uint8Array(data));
      return;
    }
    for (let from = 0; from < data.length;) {
      this.#gathered ??= new Uint8Array(MESSAGE_BYTES);
      const part = data.subarray(from, from + MESSAGE_BYTES - this.#length);
      this.#gathered.set(part, this.#length);
      this.#length += part.length;
      from += part.length;
      if (this.#length === MESSAGE_BYTES) {
        this.flush();
      }
    }
  }

  /** The thread has worked off a message. */
  taken(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) {
      this.flush();
    }
  }

  /** Sends what was gathered. */
  flush(): void {
    const gathered = this.#gathered;
    if (gathered !== undefined && this.#length > 0) {
      const isFull = this.#length === gathered.length;
      const bytes = isFull ? gathered : gathered.slice(0, this.#length);
      this.#gathered = isFull ? undefined : gathered;
      this.#length = 0;
      this.#send(bytes);
    }
  }

  #send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#underWay += 1;
    this.#say(bytes);
  }
}
