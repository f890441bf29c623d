/** Types of entries that no archive may hold. */
const TYPES: Record<string, [rule: number, what: string]> = {
  '3': [44, 'it is a character device'],
  '4': [45, 'it is a block device'],
  '6': [46, 'it is a FIFO'],
  '7': [47, 'it is a contiguous file'],
  S: [48, 'it is a sparse file: pack it without "--sparse"'],
  M: [50, 'it goes on from another volume: pack one volume'],
  V: [51, 'it is the label of a volume: pack it without "--label"'],
  D: [52, 'it is the directory of an incremental backup: pack it without "--listed-incremental"'],
};

/** The number of the rule that a type breaks, and what to say of it. */
export const whyRefused = (type: string): [rule: number, what: string] =>
  TYPES[type] ?? [53, `its type (${JSON.stringify(type)}) is unknown`];
