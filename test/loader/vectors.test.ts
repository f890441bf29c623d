/** The loader, as sources and as it is built, agrees with the table of cases in docs/vectors/gate.json. */
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { describe, expect, test } from 'vitest';

import * as sources from '../../loader/index.ts';
import { gateVectors } from '../../scripts/docs/gate-vectors.ts';
import { refusalReasons } from '../../shared/rule/admission.ts';
import { answerOf, asOther, makeCase, scanOf } from '../_kit/gate-cases.ts';
import { repository } from '../_kit/program.ts';

type Loading = Pick<typeof sources, 'createLoader'>;

const BUILDS: [string, () => Promise<Loading>][] = [
  ['the sources', () => Promise.resolve(sources)],
  [
    'dist/loader.mjs',
    () => import(pathToFileURL(join(repository, 'dist/loader.mjs')).href) as Promise<Loading>,
  ],
  [
    'dist/loader.cjs',
    () => Promise.resolve(createRequire(import.meta.url)(join(repository, 'dist/loader.cjs')) as Loading),
  ],
];

const { cases, loaded } = gateVectors();
const AT_ONCE = 32;

describe.each(BUILDS)('%s', (_, load) => {
  test.each(cases.map((one) => [one.name, one] as const))('%s', async (_name, one) => {
    const { createLoader } = await load();
    const directory = await makeCase(one);
    const options = { ...one.options, roots: one.roots.map((root) => join(directory, root)) };
    const loader = createLoader(options);
    const run = async (): Promise<void> => {
      const names = Object.keys(one.gate);
      const answers = new Map<string, unknown>();
      const scanning = loader.scan();
      for (let from = 0; from < names.length; from += AT_ONCE) {
        await Promise.all(
          names.slice(from, from + AT_ONCE).map(async (name) => {
            answers.set(name, await answerOf(directory, await loader.gate(name)));
          }),
        );
      }
      const scan = scanOf(directory, await scanning);
      expect(Object.fromEntries(answers)).toEqual(one.gate);
      if (one.scan !== undefined) {
        expect(scan).toEqual(one.scan);
        return;
      }
      const admitted = names.filter((name) => one.gate[name]?.admitted === true);
      expect(scan?.admitted.map(({ name }) => name)).toEqual(admitted.toSorted());
      const refused = new Set(scan?.refused.map(({ name, reason }) => `${name} ${reason}`));
      for (const name of names) {
        const answer = one.gate[name];
        const lies = answer?.admitted === false && answer.reason !== 'in-transition';
        if (lies && lstatSync(join(directory, answer.root, name), { throwIfNoEntry: false })) {
          expect(refused).toContain(`${name} ${answer.reason}`);
        }
      }
    };
    await (one.user === 'other' ? asOther(run) : run());
  });

  test('what is loaded is reported as the table says', async () => {
    const { createLoader } = await load();
    const directory = await makeCase({ files: [{ path: 'plugins/' }] });
    const root = join(directory, 'plugins');
    const loader = createLoader({ roots: [root] });
    for (const { plugin, generation, at, file } of loaded) {
      const place = join(root, '.loaded', `${plugin}.json`);
      if (file === null) {
        await expect(loader.loaded(plugin, generation, at)).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
      } else {
        await loader.loaded(plugin, generation, at);
        expect(await readFile(place, 'utf8')).toBe(file);
      }
    }
    const good = new Set(loaded.filter(({ file }) => file !== null).map(({ plugin }) => `${plugin}.json`));
    expect(readdirSync(join(root, '.loaded')).toSorted()).toEqual([...good].toSorted());
    expect(existsSync(join(directory, 'lint.json'))).toBe(false);
  });
});

test('the table has every reason for which a gate refuses', () => {
  const reasons = cases.flatMap(({ gate }) =>
    Object.values(gate).flatMap((answer) => (answer.admitted ? [] : [answer.reason])),
  );
  expect(new Set(reasons)).toEqual(new Set(refusalReasons));
});
