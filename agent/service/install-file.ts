/** Installs a bundle from a file of this machine: for boot-install, and for commands that work without an agent. */
import { createReadStream } from 'node:fs';

import type { Bundle } from '../../client/bundle.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import type { Service } from './service.ts';

/** What is asked of an install beside its bundle. */
export type FileInstall = Omit<BeginParams, 'plugin' | 'bundle' | 'tree'>;

/** @param by the label of the caller. @throws Fault as an install; the errors of the file. */
export const installFile = (
  service: Pick<Service, 'install'>,
  { plugin, file, size, sha256, tree }: Bundle,
  asked: FileInstall,
  by: string,
): Promise<Installed> =>
  service.install(
    { ...asked, plugin, bundle: { size, sha256 }, ...(tree === undefined ? {} : { tree }) },
    by,
    async (sink) => {
      for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
        if (!(await sink.write(chunk))) break;
      }
    },
  );
