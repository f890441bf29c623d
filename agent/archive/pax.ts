/**
 * Reads the records of a pax header, `<length> <key>=<value>
 * `, by their lengths only.
 */

/** A second record of one of these keys would contradict the first. */
const SINGLE = new Set(['path', 'linkpath', 'size']);
const MAX_DIGITS = 7;

/** The content of a pax header, or why it is not certain. */
export type PaxRead = { ok: true; records: Map<string, string> } | { ok: false; why: string };

export function readPax(body: Buffer): PaxRead {
  const records = new Map<string, string>();
  for (let at = 0; at < body.length;) {
    const record = readRecord(body, at);
    if (typeof record === 'string') {
      return { ok: false, why: record };
    }
    const { key, value, end } = record;
    if (SINGLE.has(key) && records.has(key)) {
      return { ok: false, why: `its pax header says "${key}" twice` };
    }
    if (SINGLE.has(key) && value === '') {
      return { ok: false, why: `its pax header has an empty "${key}"` };
    }
    records.set(key, value);
    at = end;
  }
  return { ok: true, records };
}

function readRecord(body: Buffer, at: number): { key: string; value: string; end: number } | string {
  let i = at;
  let length = 0;
  for (; i < body.length && i - at <= MAX_DIGITS; i += 1) {
    const digit = (body[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  const end = at + length;
  if (i === at || body[at] === 0x30 || body[i] !== 0x20) {
    return 'a record of its pax header does not begin with its length';
  }
  if (end > body.length || end <= i + 1 || body[end - 1] !== 0x0a) {
    return 'the length of a record in its pax header is wrong';
  }
  const equals = body.subarray(i + 1, end - 1).indexOf('=');
  if (equals < 1) {
    return 'a record of its pax header has no key';
  }
  const key = body.toString('utf8', i + 1, i + 1 + equals);
  return key.includes('\0')
    ? 'a record of its pax header has a NUL in its key'
    : { key, value: body.toString('utf8', i + 2 + equals, end - 1), end };
}
