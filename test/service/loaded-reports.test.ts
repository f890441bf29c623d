/** What runtimes report as loaded, heard as they write it. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { watchLoadedReports } from '../../agent/service/loaded-reports.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { scratch } from '../_kit/agent.ts';
import { until } from '../_kit/until.ts';

it('is told when it is another generation, or the same again after the report was taken away', async () => {
  const directory = await scratch();
  const told: EventBody[] = [];
  const reported: string[] = [];
  const loadedReports = await watchLoadedReports(
    directory,
    (event) => told.push(event),
    (fault) => {
      throw fault;
    },
    (plugin) => reported.push(plugin),
  );
  onTestFinished(() => loadedReports.close());
  const path = join(directory, 'lint.json');
  const report = async (generation: string): Promise<void> => {
    await writeFile(`${path}.tmp`, JSON.stringify({ version: 1, generation, at: new Date().toISOString() }));
    await rename(`${path}.tmp`, path);
  };
  await report('one');
  await until(() => expect(told).toHaveLength(1));
  await report('one');
  await report('two');
  await until(() => expect(told).toHaveLength(2));
  await rm(path);
  await until(() => expect(reported.length).toBeGreaterThanOrEqual(4));
  await report('two');
  await until(() => expect(told).toHaveLength(3));
  const generations = told.map(({ data }) => 'generation' in data && data.generation);
  expect(generations).toEqual(['one', 'two', 'two']);
});
