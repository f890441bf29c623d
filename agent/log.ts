/** The agent's log: one JSON line for each event, on standard output. The only importer of pino. */
import { type Logger, destination, pino } from 'pino';

export type Log = Logger;

/** The most bytes that wait to be written. Further lines are dropped. */
const WAITING_MAX = 1024 * 1024;

/** A log that cannot be written does not stop the agent. @param level as in the setting `AIRLOCK_LOG_LEVEL` */
export function createLog(level: string): Log {
  const output = destination({ fd: 1, sync: true, maxLength: WAITING_MAX });
  output.on('error', () => undefined);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
}
