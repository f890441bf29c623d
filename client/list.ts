/** Reads the whole list of an agent's plugins. */
import type * as z from 'zod';

import { Fault } from '../shared/api/fault.ts';
import type { Params } from '../shared/api/methods.ts';
import { type PluginInfo, pluginSchema, type Verification } from '../shared/api/plugin.ts';
import type { Caller } from '../shared/api/caller.ts';

/** A longer line of a list is refused. */
const LINE_MAX_BYTES = 256 * 1024;
const VERIFY_AT_ONCE = 8;

/**
 * All plugins, also if they do not fit an answer.
 *
 * @param gate how the gate judges; default: as in the agent.
 * @throws Fault as `request`.
 */
export async function listPlugins(
  caller: Caller,
  options: { signal?: AbortSignal | undefined } = {},
  gate: Pick<Params<'plugin.list'>, 'mode' | 'verify'> = {},
): Promise<PluginInfo[]> {
  return wholeList(caller, await caller.call('plugin.list', { all: true, ...gate }, options), pluginSchema);
}

/** The whole list of an answer, whose rest may come on a stream. @throws Fault INTERNAL if it is not whole; as `request`. */
export async function wholeList<T extends z.ZodType>(
  caller: Caller,
  { plugins, stream }: { plugins: { items: z.output<T>[]; total: number }; stream?: number | undefined },
  line: T,
): Promise<z.output<T>[]> {
  if (stream === undefined) {
    if (plugins.items.length < plugins.total) {
      throw new Fault(
        'INTERNAL',
        `The agent lists ${plugins.items.length} of ${plugins.total} plugins and no stream`,
      );
    }
    return plugins.items;
  }
  const all: z.output<T>[] = [];
  for await (const text of linesOf(caller.receive(stream))) {
    all.push(readLine(text, line));
  }
  return all;
}

/** Compares the installed with the live files, of the named plugins or of all. @throws Fault as `request`. */
export async function verifyPlugins(
  caller: Caller,
  names: readonly string[] | 'all',
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Verification[]> {
  const todo = names === 'all' ? await liveNames(caller, options) : [...names];
  const results = new Map<string, Verification>();
  const queue = todo.values();
  const work = async (): Promise<void> => {
    for (const plugin of queue) {
      results.set(plugin, await caller.call('plugin.verify', { plugin }, options));
    }
  };
  await Promise.all(Array.from({ length: VERIFY_AT_ONCE }, work));
  return todo.flatMap((name) => results.get(name) ?? []);
}

/** An absent plugin cannot be verified. */
const liveNames = async (caller: Caller, options: { signal?: AbortSignal | undefined }): Promise<string[]> =>
  (await listPlugins(caller, options)).filter(({ status }) => status !== 'absent').map(({ name }) => name);

function readLine<T extends z.ZodType>(text: string, line: T): z.output<T> {
  try {
    return line.parse(JSON.parse(text));
  } catch (error) {
    throw new Fault('INTERNAL', 'A line of the list of plugins cannot be understood', { cause: error });
  }
}

/** The lines of a stream of UTF-8, without empty ones. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split('\n');
    rest = parts.pop() ?? '';
    yield* parts.filter((part) => part !== '');
    if (rest.length > LINE_MAX_BYTES) throw new Fault('INTERNAL', 'A line of the list of plugins has no end');
  }
  if (rest !== '') yield rest;
}
