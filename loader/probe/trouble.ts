/** What the system says when a file cannot be had. */

/** An error of a system call, by its code. */
export type Trouble = { code: string; why: string };

/**
 * Takes the words out of an error of a system call: `EACCES: permission denied`.
 * @throws the error itself if it is none, for then it is a bug and not something that a disk can hold.
 */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error) {
    return { code: error.code, why: error.message.split(', ')[0] ?? error.code };
  }
  throw error;
}

/** There is nothing of that name. */
export const isAbsence = ({ code }: Trouble): boolean => code === 'ENOENT';
