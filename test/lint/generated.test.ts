import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';

import { openRpc } from '../../scripts/docs/openrpc.ts';
import { SCHEMAS, pages } from '../../scripts/docs/pages.ts';
import { schemaFiles } from '../../scripts/docs/schemas.ts';
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

describe('the JSON Schemas', () => {
  let files: Map<string, string>;
  beforeAll(() => {
    files = schemaFiles();
  });
  const accepts = (name: string, value: unknown): boolean =>
    z.fromJSONSchema(JSON.parse(files.get(name) ?? '')).safeParse(value).success;
  const stamp = '20260508T141530123Z-9f86d081';
  const digest = `sha256:${'a'.repeat(64)}`;
  const marker = {
    version: 1,
    plugin: 'lint',
    pluginVersion: '1.0.0',
    installId: stamp,
    bundle: digest,
    tree: digest,
    files: 1,
    bytes: 5,
    installedAt: '2026-05-08T14:15:30.123Z',
    by: 'platform',
    replaced: null,
  };
  const file = { path: 'SKILL.md', size: 5, mode: '644', sha256: 'a'.repeat(64) };
  const event = { bootId: 'b', seq: 1, at: '2026-05-08T14:15:30.123Z', type: 'draining', data: {} };

  test.each<[string, unknown]>([
    ['marker.json', marker],
    ['marker.json', { ...marker, 'a field of a newer agent': true }],
    ['receipt.json', { ...marker, list: [file], skipped: [] }],
    ['state.json', { version: 1, held: 'tests' }],
    ['loaded.json', { version: 1, generation: stamp }],
    ['manifest.yaml.json', { name: 'lint', version: 1.1, runtimes: 'claude-code' }],
    ['manifest.skill.json', { name: 'lint', metadata: { version: '2' } }],
    ['event.json', event],
    ['frame.json', { jsonrpc: '2.0', method: 'event', params: event }],
    ['frame.json', { jsonrpc: '2.0', id: '1', method: 'status' }],
  ])('%s accepts %j', (name, value) => {
    expect(accepts(name, value)).toBe(true);
  });

  test.each<[string, unknown]>([
    ['marker.json', { ...marker, installId: 'yesterday' }],
    ['marker.json', { ...marker, tree: undefined }],
    ['receipt.json', { ...marker, list: [{ ...file, mode: '777' }], skipped: [] }],
    ['state.json', { version: 2 }],
    ['loaded.json', { version: 1, generation: '' }],
    ['manifest.yaml.json', { version: '1' }],
    ['event.json', { ...event, type: 'plugin.loaded' }],
    ['frame.json', { jsonrpc: '1.0', method: 'event', params: event }],
  ])('%s refuses %j', (name, value) => {
    expect(accepts(name, value)).toBe(false);
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
          {
            code: -32_000,
            message: 'Another process or operation works on the plugin',
            data: { code: 'LOCKED' },
          },
        ],
        'x-scope': 'write',
        'x-effect': 'changes-plugin',
      },
    ],
  });
});
