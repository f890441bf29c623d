/** Whether what lies in the root was written without syncs, as its note says. */
import { VOLATILE_MAX_BYTES, type Volatility, readVolatile } from '../../shared/volatile.ts';
import { readText } from '../disk/record.ts';
import type { Ground } from './ground.ts';

/** What the note of the root says about this boot of the machine. */
export const volatilityOf = ({ disk, layout, owner }: Ground): Volatility =>
  readVolatile(readText(disk, layout.volatile, VOLATILE_MAX_BYTES), owner.bootId);

/** Whether what lies here was written without syncs and the machine has been restarted since. */
export const isVolatileElsewhere = (ground: Ground): boolean => volatilityOf(ground) === 'elsewhere';
