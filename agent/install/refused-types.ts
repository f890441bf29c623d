/** Types of entries that no archive may hold, by the names that the parser gives them. */
const TYPES: Record<string, [rule: number, what: string]> = {
  CharacterDevice: [44, 'it is a character device'],
  BlockDevice: [45, 'it is a block device'],
  FIFO: [46, 'it is a FIFO'],
  ContiguousFile: [47, 'it is a contiguous file'],
  SparseFile: [48, 'it is a sparse file'],
  OldExtendedHeader: [76, 'it is a header of an old Solaris tar'],
};

/** The number of the rule that a type breaks, and what to say of it. */
export const whyRefused = (type: string): [rule: number, what: string] =>
  TYPES[type] ?? [53, `its type (${type}) is unknown`];
