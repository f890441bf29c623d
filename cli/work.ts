/** Commands that change a root: through an agent where one is named, else here, under the same locks. */
import { type Local, type LocalChange, openLocal } from '../agent/main.ts';
import { type Session, newOperationId } from '../client/index.ts';
import { readSettings, settingsOf } from '../shared/api/setting.ts';
import { settings } from '../shared/api/settings.ts';
import { Fault } from '../shared/api/fault.ts';
import { type Result, readParams } from '../shared/api/methods.ts';
import type { Context, Option } from './command.ts';
import { checkName, mustBeThere, openFor, usesAgent } from './reach.ts';
import { safe } from './render.ts';

/** The settings of every such command. */
export const CHANGE_SETTINGS = settingsOf(settings, 'client', 'work');

/** The option of every command whose answer is remembered. */
export const OPERATION_OPTION = {
  operation: { type: 'string', value: 'id', help: 'the operation id, to ask again safely' },
} as const satisfies Record<string, Option>;

/** The options of every command that changes one plugin. */
export const CHANGE_OPTIONS = {
  expect: { type: 'string', value: 'id', help: 'refuse unless this install is live' },
  ...OPERATION_OPTION,
  force: { type: 'boolean', help: 'also where the plugin is held' },
  'no-restart': { type: 'boolean', help: 'ask for no restart' },
} as const satisfies Record<string, Option>;

type Ways<T> = {
  /** Asks an agent. */
  remote: (session: Session) => Promise<T>;
  /** Does it here. */
  local: (local: Local) => Promise<T>;
};

/** @throws Fault as the work does, or as connecting does. */
export async function work<T>(context: Context, { remote, local }: Ways<T>): Promise<T> {
  if (usesAgent(context)) {
    const session = await openFor(context);
    try {
      return await remote(session);
    } finally {
      await session.close();
    }
  }
  await mustBeThere(readSettings({ root: settings.root }, context.given.settings, context.env).root);
  const { given, env, self, output } = context;
  const here = openLocal({
    flags: given.settings,
    env,
    workerFile: self,
    complain: (fault) => output.note(`beside it: ${safe(fault.message)}`),
  });
  try {
    return await local(here);
  } finally {
    await here.close();
  }
}

/**
 * Asks for a change by its method: an agent, or this process.
 *
 * @param wanted the parameters but for the operation id, which is given or a new one.
 * @throws Fault INVALID_PARAMS for parameters that the method does not take; as {@link work} does.
 */
export async function change<M extends LocalChange>(
  context: Context,
  method: M,
  wanted: object,
): Promise<Result<M>> {
  const { name, given, signal } = context;
  const operationId = given.strings['operation'] ?? newOperationId();
  const read = readParams(method, { operationId, ...wanted });
  if (!read.ok) {
    throw new Fault('INVALID_PARAMS', read.why, { hint: `See "airlock ${name} --help"` });
  }
  const { params } = read;
  return work<Result<M>>(context, {
    remote: (session) => session.request(method, params, { signal }),
    local: ({ changes }) => changes[method](params),
  });
}

type PluginChange = {
  plugin: string;
  expect?: { installId: string };
  restart?: boolean;
  force?: boolean;
};

/** What a change of one plugin is asked with. @throws Fault INVALID_PARAMS */
export function pluginChange({ given }: Context): PluginChange {
  const [plugin = ''] = given.positionals;
  const { expect } = given.strings;
  checkName(plugin);
  return {
    plugin,
    ...(expect === undefined ? {} : { expect: { installId: expect } }),
    ...(given.booleans['no-restart'] === true ? { restart: false } : {}),
    ...(given.booleans['force'] === true ? { force: true } : {}),
  };
}
