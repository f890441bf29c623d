/** Says what an install would mean for the runtime, before any byte of it is sent. */
import { type Reload, classifyLoaded, reloadOf } from '../shared/rule/classify.ts';
import { Fault } from '../shared/api/fault.ts';
import { CLASSIFY_LIST_MAX } from '../shared/api/runtime.ts';
import { type FileEntry, createIgnore, fileEntrySchema } from '../shared/format/tree.ts';
import { linesOf } from './list.ts';
import type { Listed } from './pack/pack.ts';
import type { Caller } from '../shared/api/caller.ts';

/** The part of a request's frame that a list of files may take (characters of JSON). */
const LIST_CHARACTERS = 192 * 1024;

/**
 * Asks what an install of a listed directory would mean for the runtime. If the list is too long for a request, the agent
 * sends its list instead, and the same rule compares them here.
 *
 * @throws Fault as `request`.
 * @example const { action, reasons } = await classify(session, await listDirectory('./lint'));
 */
export async function classify(
  caller: Caller,
  { plugin, list, hotReload }: Pick<Listed, 'plugin' | 'list' | 'hotReload'>,
  options: { signal?: AbortSignal | undefined; listMax?: number | undefined } = {},
): Promise<Reload> {
  const { signal, listMax = CLASSIFY_LIST_MAX } = options;
  const hot = hotReload === undefined ? {} : { hotReload };
  if (list.length <= listMax && Buffer.byteLength(JSON.stringify(list)) <= LIST_CHARACTERS) {
    const params = { plugin, list: [...list], ...hot };
    return (await caller.call('plugin.classify', params, { signal })).reload;
  }
  const answer = await caller.call('plugin.files', { plugin }, { signal });
  const { kind, why = '', ignore = [], stream } = answer;
  if (kind === 'unknown' || stream === undefined) {
    return reloadOf(classifyLoaded({ kind: 'unknown', why }, list), false);
  }
  const loaded: FileEntry[] = [];
  const edited: string[] = [];
  for await (const line of linesOf(caller.receive(stream))) {
    const read = readLine(line);
    if (typeof read === 'string') edited.push(read);
    else loaded.push(read);
  }
  return reloadOf(
    classifyLoaded({ kind: 'tree', list: loaded, edited }, list, { ...hot, ignore: createIgnore(ignore) }),
    false,
  );
}

/** A file, or the path of one that was edited in place. */
function readLine(line: string): FileEntry | string {
  try {
    const json: unknown = JSON.parse(line);
    if (typeof json === 'object' && json !== null && 'edited' in json && typeof json.edited === 'string') {
      return json.edited;
    }
    return fileEntrySchema.parse(json);
  } catch (error) {
    throw new Fault('INTERNAL', 'A line of the list of files cannot be understood', { cause: error });
  }
}
