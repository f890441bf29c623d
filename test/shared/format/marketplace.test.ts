import { describe, expect, it } from 'vitest';

import {
  type MarketplaceEntry,
  type MarketplaceReading,
  manifestOf,
  pathsIn,
  readMarketplace,
} from '../../../shared/format/marketplace.ts';

const read = (value: unknown): MarketplaceReading => readMarketplace(JSON.stringify(value));

function entryOf(value: unknown): MarketplaceEntry {
  const reading = read({ plugins: [value] });
  const [line] = reading.ok ? reading.marketplace.lines : [];
  if (line?.ok !== true) throw new Error(JSON.stringify(reading));
  return line.entry;
}

describe('a marketplace.json', () => {
  it('may hold fields that nobody knows, and sources of every form', () => {
    const reading = read({
      $schema: 'https://example.com/schema.json',
      name: 'tools',
      owner: { name: 'x' },
      metadata: { pluginRoot: './plugins', other: 1 },
      plugins: [
        { name: 'a', source: './a', category: 'b' },
        { name: 'c', source: { source: 'github', repo: 'o/c' }, strict: false },
      ],
    });
    expect(reading).toMatchObject({
      ok: true,
      marketplace: {
        pluginRoot: './plugins',
        lines: [
          { ok: true, entry: { name: 'a', source: './a', strict: true } },
          { ok: true, entry: { name: 'c', strict: false } },
        ],
      },
    });
  });

  it('keeps its other entries beside a wrong one, which is named', () => {
    const reading = read({ plugins: [{ name: 'a' }, 'b', { name: 'c', source: './c' }, { source: './d' }] });
    expect(reading).toMatchObject({
      marketplace: {
        lines: [
          { ok: false, name: 'a', why: 'source: must be a path, or a map with the text "source"' },
          { ok: false, name: 'plugins[1]' },
          { ok: true },
          { ok: false, name: 'plugins[3]' },
        ],
      },
    });
  });

  it.each([
    ['{"plugins": [\n  {"name": "a"}\n  {"name": "b"}\n]}', /line 3, column 3$/],
    ['{"plugins": [],}', /line 1, column 16$/],
    ['{"plugins": nothing}', /^it is no JSON: .*nothing/],
    ['', /^it is no JSON/],
    ['[]', /expected object/],
    ['{"name": "a"}', /^plugins: /],
  ])('that cannot be read is told with its place: %j', (text, why) => {
    expect(readMarketplace(text)).toMatchObject({ ok: false, why: expect.stringMatching(why) });
  });
});

describe('an entry', () => {
  it('is the manifest of its plugin, without what is about the list', () => {
    const text = manifestOf(
      entryOf({
        name: 'gopls',
        source: './gopls',
        strict: false,
        version: '1.0.0',
        lspServers: { go: { command: 'gopls' } },
      }),
    );
    expect(JSON.parse(text)).toEqual({
      name: 'gopls',
      version: '1.0.0',
      lspServers: { go: { command: 'gopls' } },
    });
    expect(text.endsWith('}\n')).toBe(true);
  });

  it('names the paths of its plugin', () => {
    const paths = pathsIn(
      entryOf({
        name: 'a',
        source: './x',
        description: 'no path',
        skills: ['./skills/pdf/', './skills/doc'],
        hooks: './hooks/hooks.json',
        commands: ['././c.md', '../out'],
      }),
    );
    expect(paths).toEqual(['skills/pdf', 'skills/doc', 'hooks/hooks.json', 'c.md']);
    expect(pathsIn(entryOf({ name: 'a', source: './', skills: ['./'] }))).toEqual(['']);
  });
});

// Was a bug: the time grew with the square of the number of slashes, to hours.
it('names the paths of an entry in a time that many slashes do not stretch', () => {
  const slashes = '/'.repeat(1_000_000);
  const entry = entryOf({ name: 'a', source: './', skills: [`./.${slashes}a${slashes}b${slashes}`, './'] });
  expect(pathsIn(entry)).toEqual([`a${slashes}b`, '']);
});
