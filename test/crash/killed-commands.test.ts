/** A command on a root that is ended in the middle, by each signal. */
import { it } from 'vitest';

import { rollbackEndedBy } from '../_kit/killed-command.ts';

it.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
  'by %s to the command leaves a whole version',
  rollbackEndedBy,
);
