/** Work on plugins by a command. It asks the agent if one is named, else the service in this process, under the same locks. */
import type { Local } from '../agent/main.ts';
import type { Caller } from '../shared/api/caller.ts';
import { readSettings, settingsOf } from '../shared/api/setting.ts';
import { settings } from '../shared/api/settings.ts';
import type { Context } from './command.ts';
import { mustBeThere, openFor, usesAgent } from './reach.ts';
import { safe } from './render.ts';

/** The settings of all these commands. */
export const CHANGE_SETTINGS = settingsOf(settings, 'client', 'work');

/** Opens the caller for a command, and closes it afterwards. @throws Fault of `use` or of opening. */
export async function withCaller<T>(context: Context, use: (caller: Caller) => Promise<T>): Promise<T> {
  const caller = usesAgent(context) ? await openFor(context) : await openThere(context);
  try {
    return await use(caller);
  } finally {
    await caller.close();
  }
}

async function openThere(context: Context): Promise<Local> {
  await mustBeThere(readSettings({ root: settings.root }, context.given.settings, context.env).root);
  return openHere(context);
}

/** The service of this process, on the root of the settings. @throws Fault INVALID_PARAMS */
export async function openHere({ given, env, self, output }: Context): Promise<Local> {
  // A command that asks an agent does not load the agent's code.
  const { openLocal } = await import('../agent/main.ts');
  return openLocal({
    flags: given.settings,
    env,
    workerFile: self,
    complain: (fault) => output.note(`warning:  ${safe(fault.message)}`),
  });
}
