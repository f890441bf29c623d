/** The types of entries that are never unpacked. */
const TYPES: Record<string, [rule: number, what: string]> = {
  '3': [44, 'it is a character device'],
  '4': [45, 'it is a block device'],
  '6': [46, 'it is a FIFO'],
  '7': [47, 'it is a contiguous file'],
  S: [48, 'it is a sparse file: pack it without "--sparse", with bsdtar by "--no-read-sparse"'],
  M: [50, 'it continues from another volume: pack one volume'],
  V: [51, 'it is the label of a volume: pack it without "--label"'],
  D: [52, 'it is the directory of an incremental backup: pack it without "--listed-incremental"'],
};

/** The number of the rule that a type breaks, and the reason. */
export const whyRefused = (type: string): [rule: number, what: string] =>
  TYPES[type] ?? [53, `its type (${JSON.stringify(type)}) is unknown`];
