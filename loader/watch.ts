/** The watcher over the loader's roots. It watches the plugins that the gate admits. */
import { basename } from 'node:path';

import { type Clock, awakeClock } from '../shared/clock.ts';
import type { Layout } from '../shared/format/layout.ts';
import { systemFileEvents } from '../watch/file-events.ts';
import { pollingFileEvents } from '../watch/poll.ts';
import type { Admission, FileEvents, Watch } from '../watch/ports.ts';
import { type Reported, createWatch } from '../watch/watch.ts';
import type { Gate } from './gate.ts';
import type { Settings } from './settings.ts';
import { readReceipt } from './verify.ts';

/** The options of {@link Loader.watch}. */
export type WatchOptions = {
  /** Poll, for file systems that report no changes. Default: only where polling is needed. */
  readonly polling?: boolean | undefined;
  /** Receives the reason when watching falls back to polling. Default: nothing. */
  readonly notice?: ((text: string) => void) | undefined;
};

/** @param parts tests replace them. */
export function createLoaderWatch(
  settings: Settings,
  gate: Gate,
  { polling = false, notice = () => undefined }: WatchOptions,
  parts: { clock?: Clock; fileEvents?: FileEvents } = {},
): Watch & Reported {
  const { clock = awakeClock, fileEvents = systemFileEvents } = parts;
  const poll = pollingFileEvents(clock);
  const layouts = new Map<string, Layout>(settings.layouts.map((layout) => [layout.root, layout]));
  const watch = createWatch({
    roots: [...layouts.keys()],
    admit: async (name) => admissionOf(await gate(name)),
    installed: async (path, installId) => {
      const name = basename(path);
      const layout = layouts.get(path.slice(0, -name.length - 1));
      const receipt = layout && (await readReceipt(layout, { name, marker: undefined }, installId));
      if (typeof receipt !== 'object') return undefined;
      return { files: receipt.list, at: Date.parse(receipt.installedAt) };
    },
    ignore: settings.ignore,
    clock,
    fileEvents: polling ? poll : fileEvents,
    polling: poll,
    notice,
  });
  const { signal } = settings;
  signal?.addEventListener('abort', () => void watch.close(), { once: true, signal: watch.closing });
  if (signal?.aborted === true) void watch.close();
  return watch;
}

function admissionOf({ plugin, refusals: [refusal] }: Awaited<ReturnType<Gate>>): Admission {
  if (plugin !== undefined) {
    const { path, generation, marker, manifest } = plugin;
    const hotReload = manifest?.hotReload;
    return { status: 'admitted', path, generation, installId: marker?.installId, hotReload };
  }
  return refusal === undefined
    ? { status: 'absent' }
    : { status: 'refused', why: `${refusal.reason}: ${refusal.detail}` };
}
