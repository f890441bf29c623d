/**
 * Boot-install: installs the bundles in a directory of the image when a workspace starts. It remembers the last installed
 * bundle of each plugin. So it neither undoes an update by the platform nor brings back an uninstalled plugin.
 */
import { randomUUID } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { basename } from 'node:path';

import * as z from 'zod';

import { type Bundle, openBundle } from '../../client/bundle.ts';
import { Bundles, bundleFiles, lockedIn } from '../../client/bundles.ts';
import { type FaultData, Fault, errorCode, toFault } from '../../shared/api/fault.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import {
  type Declared,
  digestsOf,
  isPullable,
  LOCK_FILE,
  sourceLabel,
} from '../../shared/format/lock-file.ts';
import { type Layout, layoutOf } from '../../shared/format/layout.ts';
import { digestSchema } from '../../shared/format/name.ts';
import { Semaphore } from '../../shared/semaphore.ts';
import { installFile } from './install-file.ts';
import type { Service } from './service.ts';

/**
 * The result for one bundle. `kept`: it was installed before, or another version is live and stays. `skipped`: the lock file
 * does not name it.
 */
export type Booted = {
  /** Its file, or the URL from which it is fetched. */
  file: string;
  plugin: string | undefined;
  status: 'installed' | 'present' | 'kept' | 'skipped' | 'failed';
  detail?: string;
  error?: FaultData;
};

/** The part of the service that boot-install uses. */
type BootService = Pick<Service, 'install' | 'execute' | 'hold'> & {
  worker: Pick<Service['worker'], 'call'>;
};

const recordSchema = z.object({ version: z.literal(1), bundle: digestSchema });

/** The `by` of markers and logs. */
const BY = 'boot';

/**
 * Installs the new bundles of a directory, one after another. If a lock file is there, these are the bundles that it names: a
 * file with that digest, else what is fetched from the source. Without one these are all files (`*.tgz`, `*.tar.gz`), by name.
 * A bundle that fails does not stop the others.
 *
 * @throws Fault INVALID_PARAMS if the directory or the lock file cannot be read. Then nothing is installed.
 */
export async function bootInstall(service: BootService, root: string, directory: string): Promise<Booted[]> {
  const layout = layoutOf(root);
  const bundles = await Bundles.open(directory);
  const locked = await lockedIn(directory);
  return locked === undefined
    ? bootAll(service, layout, await bundleFiles(directory))
    : bootLocked(service, layout, bundles, locked);
}

async function bootAll(service: BootService, layout: Layout, files: readonly string[]): Promise<Booted[]> {
  const seen = new Map<string, string>();
  const results: Booted[] = [];
  for (const file of files) {
    let bundle: Bundle | undefined;
    try {
      bundle = await openBundle(file);
      const before = seen.get(bundle.plugin);
      if (before !== undefined) {
        throw new Fault('CONFLICT', `"${basename(before)}" also holds "${bundle.plugin}"`, {
          hint: 'Leave one bundle of each plugin in the directory',
        });
      }
      seen.set(bundle.plugin, file);
      results.push(await bootOne(service, layout, fromFile(service, bundle, basename(file))));
    } catch (error) {
      results.push(failed(file, bundle?.plugin, error));
    }
  }
  return results;
}

/** So many bundles are fetched at once: the agent listens only when all of this is over. */
const PULLS_AT_ONCE = 8;

async function bootLocked(
  service: BootService,
  layout: Layout,
  bundles: Bundles,
  locked: readonly Declared[],
): Promise<Booted[]> {
  const files = new Semaphore(1);
  const pulls = new Semaphore(PULLS_AT_ONCE);
  const silent = new Set<string>();
  const bootDeclared = async (one: Declared): Promise<Booted> => {
    const { name, source } = one;
    const label = source === undefined ? undefined : sourceLabel(source);
    let file = label ?? LOCK_FILE;
    try {
      const bundle = await bundles.find(one);
      file = bundle?.file ?? file;
      if (bundle !== undefined) {
        const install = fromFile(service, bundle, label ?? basename(file));
        return await files.run(() => bootOne(service, layout, install));
      }
      if (!isPullable(source)) {
        throw await bundles.missing(one);
      }
      return await pulls.run(() => bootOne(service, layout, fromSource(service, one, source, silent)));
    } catch (error) {
      return failed(file, name, error);
    }
  };
  const results = await Promise.all(locked.map(bootDeclared));
  const skipped = bundles.others.map((file): Booted => {
    const detail = `${LOCK_FILE} does not name it`;
    return { file, plugin: undefined, status: 'skipped', detail };
  });
  return [...results, ...skipped];
}

function failed(file: string, plugin: string | undefined, error: unknown): Booted {
  const fault = toFault(error, `Installing "${file}"`);
  return { file, plugin, status: 'failed', detail: fault.message, error: fault.toData() };
}

/** A bundle to install: where it is, what identifies it, and how it is installed. */
type Bootable = {
  file: string;
  plugin: string;
  digest: string;
  install: (operationId: string) => Promise<Installed>;
};

const fromFile = (service: BootService, bundle: Bundle, source: string): Bootable => ({
  file: bundle.file,
  plugin: bundle.plugin,
  digest: `sha256:${bundle.sha256}`,
  install: (operationId) => installFile(service, bundle, { operationId, source }, BY),
});

/**
 * The record names the declared bundle, or, where only the tree is declared, that.
 *
 * @param silent the servers that have not answered. They are not asked again, so that the agent starts soon.
 */
function fromSource(service: BootService, one: Declared, url: string, silent: Set<string>): Bootable {
  const { name: plugin } = one;
  const server = /^[^/]*\/\/[^/?#]*/.exec(sourceLabel(url))?.[0] ?? '';
  const install = async (operationId: string): Promise<Installed> => {
    if (silent.has(server)) {
      throw new Fault('UNREACHABLE', `"${server}" has not answered for another plugin`, {
        hint: `Pull "${plugin}" later, or put its bundle into the directory`,
      });
    }
    try {
      return await service.execute('plugin.pull', { operationId, plugin, url, ...digestsOf(one) }, BY);
    } catch (error) {
      if (error instanceof Fault && (error.code === 'UNREACHABLE' || error.code === 'DEADLINE')) {
        silent.add(server);
      }
      throw error;
    }
  };
  return { file: sourceLabel(url), plugin, digest: one.bundle ?? one.tree ?? '', install };
}

async function bootOne(
  service: BootService,
  layout: Layout,
  { file, plugin, digest, install }: Bootable,
): Promise<Booted> {
  const remember = (): Promise<void> => service.worker.call('boot.remember', { plugin, bundle: digest });
  const release = await service.hold(plugin);
  try {
    const last = await lastOf(layout, plugin);
    if (last === digest) {
      return { file, plugin, status: 'kept', detail: 'it was installed at an earlier start' };
    }
    const isLive = await isThere(layout.live(plugin));
    if ((last === undefined || last === UNREADABLE) && isLive) {
      await remember();
      return { file, plugin, status: 'kept', detail: 'another version is live already' };
    }
    if (last === UNREADABLE) {
      // If an unreadable record counted as none, an uninstalled plugin would come back.
      throw new Fault(
        'INTERNAL',
        `The record "${layout.bootOf(plugin)}" of the last boot-install cannot be read`,
        {
          hint: `Remove the record, and the next start installs "${basename(file)}"; or push the plugin`,
        },
      );
    }
    const { status, installId } = await install(`boot-${randomUUID()}`);
    await remember();
    return { file, plugin, status: status === 'present' ? 'present' : 'installed', detail: installId };
  } finally {
    await release();
  }
}

/** There is a record that cannot be read. */
const UNREADABLE = 'unreadable';

/** The digest of the bundle that was installed last; undefined if there was none. */
async function lastOf(layout: Layout, plugin: string): Promise<string | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(layout.bootOf(plugin), 'utf8'))).bundle;
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? undefined : UNREADABLE;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return false;
    }
    throw error;
  }
}
