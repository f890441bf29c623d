/** `.receipts/<name>.<stamp>.json`: the file list of an installed version. Readable by the runtime. */
import * as z from 'zod';

import { markerSchema } from './marker.ts';
import { digestSchema } from './name.ts';
import { truncatedSchema } from '../truncate.ts';
import { fileEntrySchema } from './tree.ts';

/** All fields of the marker, and every file with path, size, mode and sha256. */
export const receiptSchema = markerSchema.omit({ skipped: true }).extend({
  /** The sha256 of the receipt before: that of the version that was live last. Absent: there is none, or it is not known. */
  before: digestSchema.optional(),
  list: z.array(fileEntrySchema),
  /** Entries of the archive that were left out on purpose (links, ignored files), by path. */
  skipped: z.array(z.string()),
  /** What became of the links of the bundle; `none`: it has none; absent: that is not known. */
  bundleLinks: z.enum(['none', 'copy', 'skip']).optional(),
  /** The warnings about the bundle; absent: none. */
  warnings: truncatedSchema(z.string()).optional(),
});
export type Receipt = z.infer<typeof receiptSchema>;
