/** External workspaces: they pull their plugins themselves, and refuse changes of a plugin that others make. */
import { Fault } from './fault.ts';
import { type MethodName, methods } from './methods.ts';

/** Whether an external workspace refuses the method: its row has the fault. */
export const isRefusedByExternal = (method: MethodName): boolean =>
  methods[method].faults.includes('RUNTIME_EXTERNAL');

/** Where the platform offers the plugins of an external workspace. @param workspace its id, if it is known. */
export const downloadPath = (workspace: string | undefined, plugin: string): string =>
  `/workspaces/${workspace === undefined ? ':id' : encodeURIComponent(workspace)}/plugins/${plugin}/download`;

/** @param where the path from which the workspace pulls. */
export const externalFault = (where: string): Fault =>
  new Fault('RUNTIME_EXTERNAL', 'The workspace is external: it refuses a push, a rollback and an uninstall', {
    hint: `It pulls its plugins itself, by "airlock pull": GET ${where}`,
  });
