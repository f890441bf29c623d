/** `.loaded/<name>.json`: which version a runtime says that it has loaded. */
import { z } from 'zod';

export const loadedSchema = z.looseObject({
  version: z.literal(1),
  /** The installId, or what stands for it where the marker is empty. */
  generation: z.string().min(1).max(256),
});
