/**
 * The public door of the loader: what a runtime imports to learn which plugins it may load. It reads the disk and
 * nothing else: no network, no archive code; it writes nothing but what the runtime reports as loaded.
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
export type { Reader } from './read.ts';
export type { LoaderOptions } from './settings.ts';
export type { WatchOptions } from './watch.ts';

/** Answers which plugins may be loaded. Keep one for the life of the process: it remembers what has not changed. */
export type Loader = {
  /**
   * Judges one plugin. What is admitted is one complete version: its marker, manifest and lists were read from the
   * same directory, also while an update swaps it. Waits at most two seconds, and only for a swap without exchange.
   *
   * Whatever the disk holds is an answer, never an exception; a name that is none is refused without a look at it.
   *
   * @throws (rejects with) the reason of the loader's signal, once that is aborted.
   * @example
   * const answer = await loader.gate('lint');
   * if (answer.admitted) load(answer.plugin);
   * else console.warn(`${answer.name}: ${answer.detail}. ${answer.hint}`);
   */
  gate(name: string): Promise<GateAnswer>;
  /**
   * Judges all that lies in the roots. Entries that are no plugin names (`lost+found`, what begins with a dot) are
   * not seen. A plugin that lies there during the whole scan is in the answer, also where a listing overlooks it
   * during an update; one that this loader has seen before is looked for by name before it counts as gone.
   *
   * @throws (rejects with) the reason of the loader's signal, once that is aborted.
   */
  scan(): Promise<Scan>;
  /**
   * Runs a reader on the version that the gate admits now: all files that it reads below its `root` are of the one
   * `generation` that it is told, also while an update swaps. That may be a newer one than the plugin's; a name may be
   * given instead. Where the version is removed meanwhile the reader is run again on the one that is live by then, at
   * most three times in all. What it returns or throws is passed on unchanged, unless its version was gone by then.
   *
   * `root` is good until the reader's promise settles, in this process, for `node:fs`. `import()` and `require()`
   * resolve it to the real path, which is not held.
   *
   * @throws (rejects with) Fault NOT_FOUND where there is no such plugin, CONFLICT where it is refused, LOCKED where it
   *   is replaced faster than it is read; the reader's own error; the reason of the loader's signal.
   * @example
   * const skill = await loader.read('lint', (root) => readFile(join(root, 'skills/lint/SKILL.md'), 'utf8'));
   */
  read<T>(plugin: string | Pick<Plugin, 'name'>, reader: Reader<T>): Promise<T>;
  /**
   * Reports what the runtime really runs: call it once a plugin is loaded, and again after its skills were read anew. The
   * agent judges every later change against it, and takes for loaded what lay there at that moment; by default when `gate`,
   * `scan` or `read` was last called and found that generation. When it resolves, the report survives a power cut.
   *
   * @param generation of the plugin that was loaded, as the gate or `read` told it.
   * @param at when it was begun to read it (milliseconds since the epoch): what was edited later is not loaded. An event's `at`
   *   if only the skills that it names were read: what else was edited since then was not.
   * @throws (rejects with) Fault INVALID_PARAMS for a name or generation that is none; INTERNAL where it cannot be written.
   * @example await loader.loaded(plugin, plugin.generation);
   */
  loaded(plugin: string | Pick<Plugin, 'name'>, generation: string, at?: number): Promise<void>;
  /**
   * Tells what changes in admitted plugins, edits made by hand as well as an agent's swaps: one event for each burst of
   * changes (250 ms without one), with what it means for a runtime that has loaded what was there before. Await `ready`
   * before the scan whose plugins are loaded; then no change between the two is missed.
   *
   * A cold verdict stays: as long as the runtime has not loaded the change (a new process, or `watch.loaded(name)`),
   * every later verdict on that plugin counts it in.
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
  /** Since when what was admitted may have been read. */
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
