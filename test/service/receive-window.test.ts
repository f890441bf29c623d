import { describe, expect, it } from 'vitest';

import { ReceiveWindow } from '../../agent/service/receive-window.ts';

const SIZE = 1000;
const WINDOW = 100;
const intake = (): ReceiveWindow => new ReceiveWindow(SIZE, WINDOW);

describe('the credit of an upload', () => {
  it('grants one window at first, and never more than the bundle has', () => {
    expect(intake().limit).toBe(WINDOW);
    expect(new ReceiveWindow(40, WINDOW).limit).toBe(40);
  });

  it('moves with what was taken in, not with what has arrived', () => {
    const bytes = intake();
    expect(bytes.accept(0, 60, false)).toBeUndefined();
    expect([bytes.received, bytes.taken, bytes.limit]).toEqual([60, 0, 100]);
    bytes.take(60);
    expect([bytes.received, bytes.taken, bytes.limit]).toEqual([60, 60, 160]);
  });

  it('stops at the size near the end', () => {
    const bytes = new ReceiveWindow(150, WINDOW);
    bytes.accept(0, 100, false);
    bytes.take(100);
    expect(bytes.limit).toBe(150);
  });

  it('takes bytes up to the limit, and refuses one more', () => {
    expect(intake().accept(0, WINDOW, false)).toBeUndefined();
    const fault = intake().accept(0, WINDOW + 1, false);
    expect(fault?.code).toBe('INVALID_PARAMS');
    expect(fault?.message).toContain('beyond the limit of 100');
  });

  it('refuses a gap and a repetition, and says which byte was due', () => {
    for (const offset of [9, 11, SIZE, Number.MAX_SAFE_INTEGER]) {
      const bytes = intake();
      bytes.accept(0, 10, false);
      const fault = bytes.accept(offset, 1, false);
      expect(fault?.code).toBe('INVALID_PARAMS');
      expect(fault?.message).toContain('from offset 10');
    }
  });

  it('calls bytes beyond the declared size another bundle than the one declared', () => {
    const bytes = new ReceiveWindow(50, WINDOW);
    expect(bytes.accept(0, 51, true)?.code).toBe('DIGEST_MISMATCH');
  });

  it('counts nothing of what it refused', () => {
    const bytes = intake();
    bytes.accept(0, WINDOW + 1, true);
    expect([bytes.received, bytes.fin, bytes.limit]).toEqual([0, false, WINDOW]);
  });

  it('takes a FIN with the last bytes, and a FIN alone after them', () => {
    const together = new ReceiveWindow(10, WINDOW);
    expect(together.accept(0, 10, true)).toBeUndefined();
    expect(together.fin).toBe(true);
    const alone = new ReceiveWindow(10, WINDOW);
    alone.accept(0, 10, false);
    expect(alone.fin).toBe(false);
    expect(alone.accept(10, 0, true)).toBeUndefined();
    expect(alone.fin).toBe(true);
  });

  it('refuses bytes after the FIN, and a frame after it that says nothing', () => {
    for (const [offset, length, fin] of [
      [10, 1, false],
      [10, 1, true],
      [0, 10, true],
      [10, 0, false],
      [9, 0, true],
    ] as const) {
      const bytes = intake();
      bytes.accept(0, 10, true);
      expect(bytes.accept(offset, length, fin)?.message).toContain('after its end');
    }
  });

  it('lets the FIN be said again, for who comes back cannot know that it had arrived', () => {
    const bytes = intake();
    bytes.accept(0, 10, true);
    expect(bytes.accept(10, 0, true)).toBeUndefined();
    expect(bytes.received).toBe(10);
  });
});

describe('whose turn it is', () => {
  it('is the sender’s while there is credit', () => {
    const bytes = intake();
    expect(bytes.mayCome).toBe(true);
    bytes.accept(0, WINDOW - 1, false);
    expect(bytes.mayCome).toBe(true);
  });

  it('is not the sender’s while its credit is used up', () => {
    const bytes = intake();
    bytes.accept(0, WINDOW, false);
    expect(bytes.mayCome).toBe(false);
    bytes.take(1);
    expect(bytes.mayCome).toBe(true);
  });

  it('is the sender’s while only the FIN is missing, though there is no byte to grant', () => {
    const bytes = new ReceiveWindow(WINDOW, WINDOW);
    bytes.accept(0, WINDOW, false);
    expect(bytes.mayCome).toBe(true);
  });

  it('is nobody’s after the FIN', () => {
    const bytes = new ReceiveWindow(WINDOW, WINDOW);
    bytes.accept(0, WINDOW, true);
    expect(bytes.mayCome).toBe(false);
  });
});
