import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';

import { openRpc } from '../../scripts/docs/openrpc.ts';
import { SCHEMAS, pages } from '../../scripts/docs/pages.ts';
import { settingsPage } from '../../scripts/docs/settings-page.ts';
import { count } from '../../shared/api/setting-kinds.ts';
import { setting } from '../../shared/api/setting.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** Every `$ref` in a JSON document. */
const refsIn = (text: string): string[] =>
  [...text.matchAll(/"\$ref": "([^"]+)"/g)].map(([, ref = '']) => ref);

/** What stands at a `#/a/b` in a document; undefined if nothing does. */
const at = (document: unknown, ref: string): unknown =>
  ref
    .slice(2)
    .split('/')
    .reduce<unknown>(
      (value, key) => z.record(z.string(), z.unknown()).safeParse(value).data?.[key],
      document,
    );

describe('the pages that are written from the tables', () => {
  let written: Map<string, string>;
  beforeAll(async () => {
    written = await pages();
  });

  test('are those that lie in docs/', () => {
    const stale = [...written].filter(([file, text]) => {
      const there = path.join(root, file);
      return !existsSync(there) || readFileSync(there, 'utf8') !== text;
    });
    const left = readdirSync(path.join(root, SCHEMAS))
      .map((name) => `${SCHEMAS}/${name}`)
      .filter((file) => !written.has(file));
    expect([...stale.map(([file]) => file), ...left], 'run "npm run docs"').toEqual([]);
  });

  test('refer to nothing that is not in the same document', () => {
    const missing = [...written]
      .filter(([file]) => file.endsWith('.json'))
      .flatMap(([file, text]) => {
        const document: unknown = JSON.parse(text);
        return refsIn(text)
          .filter((ref) => at(document, ref) === undefined)
          .map((ref) => `${file}: ${ref}`);
      });
    expect(missing).toEqual([]);
  });
});

test('a row of the table of settings is a row of the page', () => {
  const most = setting({
    flag: '--most',
    env: 'AIRLOCK_MOST',
    of: ['agent', 'work'],
    ...count('things'),
    fallback: '7',
    help: 'the most things | at once',
  });
  expect(settingsPage({ most })).toContain(
    '| `--most` | `AIRLOCK_MOST` | `things` | `7` | the most things \\| at once | agent, work |\n',
  );
});

test('a row of the table of methods is a method of the OpenRPC document, with its summary and its faults', () => {
  const hold = {
    summary: 'Refuse installs of this plugin',
    effect: 'changes-plugin' as const,
    params: z.strictObject({ plugin: z.string(), why: z.string().max(500).optional() }),
    result: z.object({ held: z.boolean() }),
    faults: ['LOCKED'] as const,
  };
  expect(openRpc({ 'plugin.hold': hold })).toMatchObject({
    methods: [
      {
        name: 'plugin.hold',
        summary: 'Refuse installs of this plugin',
        paramStructure: 'by-name',
        params: [
          { name: 'plugin', required: true, schema: { type: 'string' } },
          { name: 'why', required: false, schema: { type: 'string', maxLength: 500 } },
        ],
        result: { name: 'result', schema: { type: 'object', properties: { held: { type: 'boolean' } } } },
        errors: [
          { code: -32_000, message: 'Somebody else is working on the plugin', data: { code: 'LOCKED' } },
        ],
        'x-scope': 'write',
        'x-effect': 'changes-plugin',
      },
    ],
  });
});
