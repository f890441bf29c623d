/** What the contract of the disk is run on, and the few words that it is written in. */
import { errorCode } from '../../shared/api/fault.ts';
import type { Disk } from '../../agent/disk/port.ts';

/** A disk, an empty directory on it, and a way to make a link there. */
export type Ready = { disk: Disk; base: string; link: (target: string, path: string) => void };

/** Makes a file with a text. @returns its path */
export const put = ({ disk, base }: Ready, path: string, text: string): string => {
  const fd = disk.create(`${base}/${path}`, 0o644);
  disk.write(fd, Buffer.from(text));
  disk.close(fd);
  return `${base}/${path}`;
};
/** Makes a directory. @returns its path */
export const dir = ({ disk, base }: Ready, path: string): string => {
  disk.mkdir(`${base}/${path}`, 0o755);
  return `${base}/${path}`;
};
/** The first 64 bytes of a file. */
export const text = (disk: Disk, path: string): string => {
  const fd = disk.open(path);
  const into = Buffer.alloc(64);
  const count = disk.read(fd, into);
  disk.close(fd);
  return into.toString('utf8', 0, count);
};
/** The code of the error that a call throws; undefined if it throws none. */
export const code = (run: () => unknown): string | undefined => {
  try {
    run();
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
  return undefined;
};
