/**
 * Boot-install: installs the bundles in a directory of the image when a workspace starts. It remembers the last installed
 * bundle of each plugin. So it neither undoes an update by the platform nor brings back an uninstalled plugin.
 */
import { randomUUID } from 'node:crypto';
import { lstat, readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createReadStream } from 'node:fs';

import * as z from 'zod';

import { type Bundle, openBundle } from '../../client/bundle.ts';
import { type FaultData, Fault, errorCode, toFault } from '../../shared/api/fault.ts';
import { type Layout, layoutOf } from '../../shared/format/layout.ts';
import { digestSchema } from '../../shared/format/name.ts';
import type { Service } from './service.ts';

/** The result for one bundle. `kept`: it was installed before, or another version is live and stays. */
export type Booted = {
  file: string;
  plugin: string | undefined;
  status: 'installed' | 'present' | 'kept' | 'failed';
  detail?: string;
  error?: FaultData;
};

/** The part of the service that boot-install uses. */
type BootService = Pick<Service, 'install' | 'hold'> & { worker: Pick<Service['worker'], 'call'> };

const recordSchema = z.object({ version: z.literal(1), bundle: digestSchema });

/** The `by` of markers and logs. */
const BY = 'boot';

/**
 * Installs the new bundles (`*.tgz`, `*.tar.gz`) of a directory, one after another by name. A bundle that fails does not
 * stop the others.
 *
 * @throws Fault INVALID_PARAMS if the directory cannot be read.
 */
export async function bootInstall(service: BootService, root: string, directory: string): Promise<Booted[]> {
  const files = await bundlesIn(directory);
  const layout = layoutOf(root);
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
      results.push(await bootOne(service, layout, bundle));
    } catch (error) {
      const fault = toFault(error, `Installing "${file}"`);
      results.push({
        file,
        plugin: bundle?.plugin,
        status: 'failed',
        detail: fault.message,
        error: fault.toData(),
      });
    }
  }
  return results;
}

async function bundlesIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => /\.(?:tgz|tar\.gz)$/.test(name))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    throw new Fault(
      'INVALID_PARAMS',
      `The directory of bundles cannot be read: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'Name a directory that holds bundles (*.tgz)',
      },
    );
  }
}

async function bootOne(service: BootService, layout: Layout, bundle: Bundle): Promise<Booted> {
  const { plugin, file } = bundle;
  const digest = `sha256:${bundle.sha256}`;
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
    const { status, installId } = await service.install(
      {
        operationId: `boot-${randomUUID()}`,
        plugin,
        bundle: { size: bundle.size, sha256: bundle.sha256 },
        source: basename(file),
      },
      BY,
      async (sink) => {
        for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
          if (!(await sink.write(chunk))) break;
        }
      },
    );
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
