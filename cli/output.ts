/** The output of a command: results on standard output, the rest on standard error; one JSON document with `--json`. */
import type { Fault } from '../shared/api/fault.ts';
import { type Paint, bar, faultLines, painter } from './render.ts';

/** A stream as the output needs it; `process.stdout` is one. */
export type Sink = {
  /** @param done called when it is written, or with the error. */
  write(text: string | Uint8Array, done?: (error?: Error | null) => void): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
};

export class Output {
  readonly #out: Sink;
  readonly #error: Sink;
  /** The result is for a program: `--json`, or standard output is not a terminal. */
  readonly json: boolean;
  readonly paint: Paint;
  readonly #paintError: Paint;
  #bar = false;

  constructor(out: Sink, error: Sink, json: boolean, noColour: boolean) {
    this.#out = out;
    this.#error = error;
    this.json = json || out.isTTY !== true;
    this.paint = painter(out.isTTY === true && !noColour && !json);
    this.#paintError = painter(error.isTTY === true && !noColour);
  }

  /** The result of the command, as one JSON document or as text for people. */
  result(value: unknown, text: () => string): void {
    this.clearBar();
    this.#out.write(this.json ? `${JSON.stringify(value)}\n` : `${text()}\n`);
  }

  /** Text that is a result in itself, such as help. */
  text(text: string): void {
    this.clearBar();
    this.#out.write(`${text}\n`);
  }

  /** Bytes that are a result in themselves. @param done called when there is room for more, or with the error. */
  bytes(bytes: Uint8Array, done: (error?: Error | null) => void): void {
    this.clearBar();
    this.#out.write(bytes, done);
  }

  /** A remark beside the result. */
  note(text: string): void {
    this.clearBar();
    this.#error.write(`${text}\n`);
  }

  /** Reports a failure: for people on standard error, and with `asJson` also as JSON on standard output. */
  fault(fault: Fault, asJson: boolean): void {
    this.clearBar();
    this.#error.write(`${faultLines(fault, this.#paintError).join('\n')}\n`);
    if (asJson) {
      this.#out.write(`${JSON.stringify({ error: fault.toData() })}\n`);
    }
  }

  /** Draws the progress on a terminal. */
  progress(done: number, total: number): void {
    if (this.#error.isTTY === true) {
      this.#bar = true;
      const { columns = 0 } = this.#error;
      this.#error.write(`\r${bar(done, total, columns === 0 ? 80 : columns)}\u001B[K`);
    }
  }

  clearBar(): void {
    if (this.#bar) {
      this.#bar = false;
      this.#error.write('\r\u001B[K');
    }
  }
}
