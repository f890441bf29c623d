/**
 * The public API of the loader, which tells a runtime which plugins it may load. The loader only reads the disk. It has no
 * network and no archive code, and writes only the reports of what the runtime has loaded.
 */
import type { Watch } from '../watch/ports.ts';
import { ask, createGate } from './gate.ts';
import { writeLoaded } from './loaded.ts';
import { createMemory } from './memory.ts';
import type { GateAnswer, Plugin, Scan } from './plugin.ts';
import { type Reader, createRead } from './read.ts';
import { createScan } from './scan.ts';
import { type LoaderOptions, readOptions } from './settings.ts';
import { type WatchOptions, createLoaderWatch } from './watch.ts';

export type { AdmissionLevel, RefusalReason } from '../shared/rule/admission.ts';
export { Fault } from '../shared/api/fault.ts';
export type { Manifest } from '../shared/format/manifest.ts';
export type { Marker } from '../shared/format/marker.ts';
export type { Watch, WatchEvent } from '../watch/ports.ts';
export type { GateAnswer, Plugin, Refusal, Scan, Shadowed } from './plugin.ts';
export { type McpServer, type McpServers, mcpServersOf } from './mcp.ts';
export type { Reader } from './read.ts';
export { expandVariables } from './variables.ts';
export type { LoaderOptions } from './settings.ts';
export type { WatchOptions } from './watch.ts';

/** Decides which plugins may be loaded. Keep one for the life of the process: it remembers plugins that have not changed. */
export type Loader = {
  /**
   * Judges one plugin. An admitted plugin is one complete version: its marker, manifest and lists were read from the
   * same directory, also while an update swaps it. Waits at most two seconds, and only for a swap without exchange.
   *
   * Whatever the disk holds, the result is an answer and never an exception. A name that is not valid is refused without
   * reading the disk.
   *
   * @throws (rejects with) the reason of the loader's signal, once that is aborted.
   * @example
   * const answer = await loader.gate('lint');
   * if (answer.admitted) load(answer.plugin);
   * else console.warn(`${answer.name}: ${answer.detail}. ${answer.hint}`);
   */
  gate(name: string): Promise<GateAnswer>;
  /**
   * Judges all plugins in the roots. Entries that no plugin can be called (`lost+found`, names with a leading dot) are
   * ignored. A plugin that is there during the whole scan is in the answer, also if a listing overlooks it during an
   * update. A plugin that this loader has seen before is checked by name before it counts as gone.
   *
   * @throws (rejects with) the reason of the loader's signal, once that is aborted.
   */
  scan(): Promise<Scan>;
  /**
   * Calls a reader for the version that the gate admits now, also if that is newer than the given plugin. All files that
   * the reader reads below `root` are of the `generation` that it gets, also while an update swaps the plugin. If that
   * version is removed meanwhile, the reader is called again for the version that is live then, at most three times in
   * all. Its value or error is passed on unchanged, unless its version was gone by then.
   *
   * `root` is valid until the reader's promise settles, in this process, for `node:fs`. `import()` and `require()`
   * resolve it to the real path, where the version may change.
   *
   * @throws (rejects with) Fault NOT_FOUND if there is no such plugin, CONFLICT if the gate refuses it, LOCKED if it is
   *   replaced faster than it is read or a swap takes too long; the reader's own error; the reason of the loader's signal.
   * @example
   * const skill = await loader.read('lint', (root) => readFile(join(root, 'skills/lint/SKILL.md'), 'utf8'));
   */
  read<T>(plugin: string | Pick<Plugin, 'name'>, reader: Reader<T>): Promise<T>;
  /**
   * Reports what the runtime has loaded. Call it when a plugin is loaded, and again after its skills were read again. The
   * agent judges every later change against the report. Files that were edited after `at` do not count as loaded. When the
   * promise resolves, the report survives a power cut.
   *
   * @param generation the generation that was loaded, from the gate or from `read`.
   * @param at when the reading began (milliseconds since the epoch). Default: when `gate`, `scan` or `read` was last called
   *   and found this generation. If only the skills of an event were read, the event's `at`.
   * @throws (rejects with) Fault INVALID_PARAMS for a name, generation or time that is not valid; INTERNAL if the report
   *   cannot be written.
   * @example await loader.loaded(plugin, plugin.generation);
   */
  loaded(plugin: string | Pick<Plugin, 'name'>, generation: string, at?: number): Promise<void>;
  /**
   * Reports changes of admitted plugins: edits by hand and swaps by an agent. There is one event for each burst of changes
   * (which ends after 250 ms without a change). It says what the change means for a runtime that has loaded what was there
   * before. Await `ready` before you scan; then no change between the two is missed.
   *
   * A cold verdict stays: every later verdict on the plugin includes it until the runtime has loaded the change (in a new
   * process, or reported with `watch.loaded(name)`).
   *
   * @example
   * const watch = loader.watch({ notice: console.warn });
   * await watch.ready;
   * const { admitted } = await loader.scan();
   * for await (const { plugin, kind, skills } of watch) if (kind === 'skill-content-only') reload(plugin, skills);
   */
  watch(options?: WatchOptions): Watch;
};

/**
 * Makes a loader over one or more roots. The roots need not exist yet.
 *
 * @throws Fault INVALID_PARAMS that names every option that is wrong.
 * @example
 * const loader = createLoader({ roots: ['/configs/plugins', '/opt/plugins'], runtime: 'claude-code' });
 * const { admitted, refused } = await loader.scan();
 */
export function createLoader(options: LoaderOptions): Loader {
  const settings = readOptions(options);
  const gate = createGate(settings, createMemory());
  const watches = new Set<ReturnType<typeof createLoaderWatch>>();
  const scan = createScan(settings, gate);
  const read = createRead(settings, gate);
  /** When each admitted plugin was read, at the earliest. */
  const asked = new Map<string, { generation: string; at: number }>();
  const note = (name: string, generation: string, at: number): void =>
    void asked.set(name, { generation, at });
  return {
    gate: async (name) => {
      const at = settings.clock.now();
      const answer = await ask(gate, settings, name);
      if (answer.admitted) {
        note(answer.plugin.name, answer.plugin.generation, at);
      }
      return answer;
    },
    scan: async () => {
      const at = settings.clock.now();
      const found = await scan();
      for (const { name, generation } of found.admitted) {
        note(name, generation, at);
      }
      return found;
    },
    read: (plugin, reader) => {
      const at = settings.clock.now();
      const name = typeof plugin === 'string' ? plugin : plugin.name;
      return read(plugin, (root, version) => {
        note(name, version.generation, at);
        return reader(root, version);
      });
    },
    loaded: async (plugin, generation, at) => {
      const name = typeof plugin === 'string' ? plugin : plugin.name;
      const now = settings.clock.now();
      const admitted = asked.get(name);
      const since = Math.min(at ?? (admitted?.generation === generation ? admitted.at : now), now);
      await writeLoaded(settings, name, generation, since);
      await Promise.all([...watches].map((watch) => watch.reported(name, generation, since)));
    },
    watch: (how = {}) => {
      const watch = createLoaderWatch(settings, gate, how);
      watches.add(watch);
      watch.closing.addEventListener('abort', () => watches.delete(watch), { once: true });
      return watch;
    },
  };
}
