/** Errors of system calls. */

/** An error of a system call, by its code. */
export type SystemError = { code: string; why: string };

/**
 * Takes code and text from an error of a system call: `EACCES: permission denied`.
 * @throws the error itself if it is another one, because then it is a bug and not a state of the disk.
 */
export function systemErrorOf(error: unknown): SystemError {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error) {
    return { code: error.code, why: error.message.split(', ')[0] ?? error.code };
  }
  throw error;
}

/** There is no such file. */
export const isMissing = ({ code }: SystemError): boolean => code === 'ENOENT';
