// A scan of 200 admitted plugins, beside reading the same manifests without any check.
import { randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

import { install, packDirectory } from '../dist/client.mjs';
import { createLoader } from '../dist/loader.mjs';
import { startAgent } from './agent.mjs';
import { makePlugin } from './corpus.mjs';
import { compare, ratios, timed } from './measure.mjs';

export const PLUGINS = 200;

/** Installs plugins of six files each, `p0` and so on, and returns how they are declared. */
export async function fill(session, folder, count, from = 0) {
  const declared = [];
  const source = path.join(folder, 'source');
  for (let i = from; i < count; i += 1) {
    const name = `p${i}`;
    await makePlugin(source, name, { files: 6, bytes: 12_000 });
    const bundle = await packDirectory(source);
    const { tree } = await install(session, bundle, { operationId: randomUUID(), restart: false });
    declared.push({ name, tree });
    await bundle.dispose();
  }
  return declared;
}

async function readManifests(root) {
  const names = (await readdir(root)).filter((name) => !name.startsWith('.'));
  await Promise.all(names.map((name) => readFile(path.join(root, name, 'plugin.yaml'), 'utf8')));
}

export async function measureScan(bench) {
  await bench.inFolder(bench.options.disk, async (folder) => {
    const root = path.join(folder, 'root');
    const agent = await startAgent(root);
    const session = await agent.open();
    try {
      await fill(session, folder, PLUGINS);
    } finally {
      await session.close();
      await agent.stop();
    }
    const loader = createLoader({ roots: [root] });
    const times = await compare(
      { scan: () => timed(() => loader.scan()), bare: () => timed(() => readManifests(root)) },
      bench.options.rounds * 7,
    );
    bench.add({
      what: `scan of ${PLUGINS} admitted plugins`,
      against: 'readdir, reading the manifests',
      bar: 1.5,
      values: ratios(times.scan, times.bare),
    });
  });
}
