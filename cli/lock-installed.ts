/** `airlock push --lock`: writes what was installed into a lock file. */
import { changeLock, type Declared, type Installed, readLock, withPlugin } from '../client/index.ts';
import { Fault, toFault } from '../shared/api/fault.ts';
import { declare } from '../shared/format/lock-file.ts';
import { type Context, EXIT } from './command.ts';

/** Before anything is sent. @throws Fault INVALID_PARAMS if the lock file is there and cannot be read. */
export async function checkLock({ given }: Context): Promise<void> {
  const { lock } = given.strings;
  if (lock === undefined) return;
  await readLock(lock).catch((error: unknown) => {
    if (!(error instanceof Fault && error.code === 'NOT_FOUND')) throw error;
  });
}

/**
 * Writes the lines of these plugins, if a lock file is named. The plugins are installed, whatever becomes of the file.
 *
 * @returns the exit code.
 */
export async function lockInstalled(
  { given, output }: Context,
  installed: readonly Installed[],
): Promise<number> {
  const { lock } = given.strings;
  if (lock === undefined || installed.length === 0) return EXIT.done;
  try {
    await changeLock(lock, (before) => installed.map(declaredOf).reduce(withPlugin, before));
    return EXIT.done;
  } catch (error) {
    const fault = toFault(error, 'Writing the lock file');
    output.fault(fault, false);
    return EXIT.failed;
  }
}

const declaredOf = ({ plugin, pluginVersion: version, tree, bundle, source }: Installed): Declared =>
  declare(plugin, { version, tree, bundle, ...(source === undefined ? {} : { source }) });
