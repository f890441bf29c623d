/** A sweep that has much to read, beside an agent's other work. */
import { readFile, readdir, readlink, rename, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import type { Status } from '../../shared/api/maintenance.ts';
import { receiptSchema } from '../../shared/format/receipt.ts';
import { type TestAgent, startTestAgent } from '../_kit/agent.ts';
import { put, version } from '../_kit/place.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

const HUGE_BYTES = 64 * 2 ** 30;

/**
 * Makes the snapshot of "lint" one that was displaced years ago, and gives it a file of holes only, which takes minutes to hash.
 * Its receipt knows that file.
 *
 * @returns the path of the file.
 */
async function makeHuge({ layout }: TestAgent): Promise<string> {
  const [name = ''] = await readdir(layout.previous);
  const old = join(layout.previous, 'lint.20200101T000000000Z-00000000');
  await rename(join(layout.previous, name), old);
  const file = join(old, 'huge');
  await writeFile(file, '');
  await truncate(file, HUGE_BYTES);
  await utimes(file, 0, 0);
  const marker = JSON.parse(await readFile(join(old, '.complete'), 'utf8')) as { installId: string };
  const path = layout.receipt('lint', marker.installId);
  const receipt = receiptSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  receipt.list.push({ path: 'huge', size: HUGE_BYTES, mode: '644', sha256: '0'.repeat(64) });
  await writeFile(path, JSON.stringify(receipt));
  return file;
}

/** Whether this process has a file open. */
async function isOpen(file: string): Promise<boolean> {
  const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  return (await Promise.all(links)).includes(file);
}

// Was a fault: the plugin was held alone all the while, and an install waited for the end of it.
it.runIf(process.platform === 'linux')('keeps no install waiting while it hashes a snapshot', async () => {
  const agent = await startTestAgent({ env: { AIRLOCK_DURABILITY: 'none' } });
  const wire = await Wire.start(agent);
  await put(wire, await version('1', '1'));
  await put(wire, await version('2', '1'));
  // Its house-keeping is over as well: it removes snapshots, too.
  await until(async () => expect((await wire.request<Status>('status', {})).operations.total).toBe(0));
  const file = await makeHuge(agent);
  const swept = wire.ask('sweep', { operationId: 'sweep-0001' });
  await until(async () => expect(await isOpen(file)).toBe(true));
  expect(await put(wire, await version('3', '1'))).toMatchObject({ status: 'installed' });
  expect(await isOpen(file)).toBe(true);
  await agent.close();
  await expect(wire.answer(swept)).rejects.toMatchObject({ data: { code: 'DRAINING' } });
});
