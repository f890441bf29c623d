/**
 * Binary frames of `airlock.v1`: 16 bytes of header, big-endian, then at most 64 KiB of data.
 *
 *     type u8 (1 = data) · flags u8 (1 = FIN) · 0 u16 · stream u32 · offset u64
 */
export const FRAME_HEADER_BYTES = 16;
/** The most data that one frame carries. */
export const FRAME_DATA_BYTES = 64 * 1024;

const TYPE_DATA = 1;
const FLAG_FIN = 1;

export type DataFrame = {
  /** The number of the stream, assigned by the agent, unique in the connection. */
  stream: number;
  /** The offset of the data in the stream, in bytes. */
  offset: number;
  /** The last frame of the stream. */
  fin: boolean;
  data: Uint8Array;
};

/** @throws RangeError if a number does not fit its field, or there is too much data. */
export function encodeFrame(frame: DataFrame): Buffer {
  if (frame.data.length > FRAME_DATA_BYTES) {
    throw new RangeError(`A frame carries at most ${FRAME_DATA_BYTES} bytes, not ${frame.data.length}`);
  }
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + frame.data.length);
  bytes.writeUInt8(TYPE_DATA, 0);
  bytes.writeUInt8(frame.fin ? FLAG_FIN : 0, 1);
  bytes.writeUInt16BE(0, 2);
  bytes.writeUInt32BE(frame.stream, 4);
  bytes.writeBigUInt64BE(BigInt(frame.offset), 8);
  bytes.set(frame.data, FRAME_HEADER_BYTES);
  return bytes;
}

export type FrameReading = { ok: true; frame: DataFrame } | { ok: false; why: string };

/** Reads a frame; `data` is a view into `bytes`. A connection with a bad frame is closed with 1002. */
export function decodeFrame(bytes: Buffer): FrameReading {
  if (bytes.length < FRAME_HEADER_BYTES) {
    return { ok: false, why: `a binary frame has ${bytes.length} bytes, its header alone needs 16` };
  }
  if (bytes.length > FRAME_HEADER_BYTES + FRAME_DATA_BYTES) {
    return { ok: false, why: `a binary frame carries at most ${FRAME_DATA_BYTES} bytes` };
  }
  const flags = bytes.readUInt8(1);
  if (bytes.readUInt8(0) !== TYPE_DATA || (flags & ~FLAG_FIN) !== 0 || bytes.readUInt16BE(2) !== 0) {
    return { ok: false, why: 'a binary frame has an unknown type, flag or reserved field' };
  }
  const offset = bytes.readBigUInt64BE(8);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) {
    return { ok: false, why: 'the offset of a binary frame is beyond 2^53' };
  }
  return {
    ok: true,
    frame: {
      stream: bytes.readUInt32BE(4),
      offset: Number(offset),
      fin: (flags & FLAG_FIN) !== 0,
      data: bytes.subarray(FRAME_HEADER_BYTES),
    },
  };
}
