/** Cutting the power of a mounted file system: from one instant on, nothing that is written reaches it any more. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

type Koffi = Pick<typeof import('koffi'), 'load' | 'errno'>;
type Ioctl = (fd: number, request: number, argument: Buffer) => number;

const FS_IOC_SHUTDOWN = 0x80_04_58_7d;
/** What is in the journal's memory is lost as well. */
const NOLOGFLUSH = 2;
const LOOP_GET_STATUS64 = 0x4c_05;
const LOOP_SET_STATUS64 = 0x4c_04;
/** `struct loop_info64`: its size, and where its `lo_sizelimit` stands. */
const LOOP_INFO = { bytes: 232, sizeLimit: 32 };
const SECTOR = 512n;

let bound: Ioctl | undefined | 'missing';

function ioctl(): Ioctl | undefined {
  if (bound === undefined) {
    try {
      const koffi = createRequire(import.meta.url)('koffi') as Koffi;
      const call = koffi.load(null).func('int ioctl(int, unsigned long, void *)');
      bound = (fd, request, argument) => (Number(call(fd, request, argument)) === 0 ? 0 : koffi.errno());
    } catch {
      bound = 'missing';
    }
  }
  return bound === 'missing' ? undefined : bound;
}

export const hasIoctl = (): boolean => ioctl() !== undefined;

function ask(path: string, requests: readonly (readonly [request: number, argument: Buffer])[]): void {
  const call = ioctl();
  if (call === undefined) throw new Error('koffi is missing');
  const fd = openSync(path, 'r');
  try {
    for (const [request, argument] of requests) {
      const errno = call(fd, request, argument);
      if (errno !== 0) throw new Error(`ioctl 0x${request.toString(16)} on "${path}" failed with ${errno}`);
      if (request === LOOP_GET_STATUS64) argument.writeBigUInt64LE(SECTOR, LOOP_INFO.sizeLimit);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Cuts the power. When it returns, what was not durable is lost; the mount only gives errors until it is unmounted and
 * mounted again. ext4 and xfs have a call for it. btrfs has none: its loop device shrinks to one sector, between two
 * writes. A copy of the image would not do: it takes a while, and so is a picture of no instant.
 */
export function cutPower(mountPoint: string): void {
  const { device, kind } = mountOf(mountPoint);
  if (kind === 'btrfs') {
    const info = Buffer.alloc(LOOP_INFO.bytes);
    ask(device, [
      [LOOP_GET_STATUS64, info],
      [LOOP_SET_STATUS64, info],
    ]);
  } else {
    const how = Buffer.alloc(4);
    how.writeUInt32LE(NOLOGFLUSH);
    ask(mountPoint, [[FS_IOC_SHUTDOWN, how]]);
  }
}

/** The device that is mounted somewhere, and the kind of its file system. */
export function mountOf(mountPoint: string): { device: string; kind: string } {
  const line = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((text) => text.split(' '))
    .findLast(([, point]) => point === mountPoint);
  if (line === undefined) throw new Error(`Nothing is mounted on "${mountPoint}"`);
  return { device: line[0] ?? '', kind: line[2] ?? '' };
}
