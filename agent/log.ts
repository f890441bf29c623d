/** The agent's log: one JSON line an event, on standard output. The only importer of pino. */
import { type Logger, destination, pino } from 'pino';

export type Log = Logger;

/** @param level as in the setting `AIRLOCK_LOG_LEVEL` */
export function createLog(level: string): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 1, sync: true }),
  );
}
