import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const ROOMS = ['agent', 'shared', 'loader', 'watch', 'client'];

/** Words that every programmer uses in one meaning: the glossary need not explain them. */
const PLAIN = new Set(
  `
    action address answer api ask backoff batch begin body bound broken budget change check claim clock close code command
    config connect connection content data decision deferred dependency difference directory disk effect end error executable execute
    executor fact failure file follow for format found from group handler hard hash head header holder incoming inventory info is
    kind known lease left level limit link list listen listener local log memory message move name of open option out outgoing own param part path
    pause place plan port position progress push queue read record release reply report request reset response result row run scan
    seen send serve skip small socket source stat status step stream system table tar pax target text thread timeout timer tls to type
    unpack unreadable value version wait walk warning work
  `
    .split(/\s+/)
    .filter((word) => word !== ''),
);

/** Forms that no rule makes of the word in the glossary. */
const IRREGULAR: Readonly<Record<string, string>> = {
  began: 'begin',
  begun: 'begin',
  recovery: 'recover',
  refused: 'refusal',
  swept: 'sweep',
  verification: 'verify',
};

/** The words of a name: `PluginInfo`, `plugin-locks` → plugin, info. */
const wordsOf = (name: string): string[] =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');

/** The forms under which a glossary may hold a word: `staged` is of `stage`, `swapped` of `swap`, `queries` of `query`. */
function formsOf(word: string): string[] {
  const bare = ['s', 'es', 'd', 'ed', 'r', 'er', 'ing'].flatMap((end) =>
    word.endsWith(end) ? [word.slice(0, -end.length)] : [],
  );
  return [
    word,
    ...(IRREGULAR[word] === undefined ? [] : [IRREGULAR[word]]),
    ...bare,
    ...bare.map((stem) => `${stem}e`),
    ...bare.map((stem) => stem.replace(/(.)\1$/, '$1')),
    ...(word.endsWith('ies') ? [`${word.slice(0, -3)}y`] : []),
  ];
}

/** The first column of the table under "## The words". */
function glossaryOf(contributing: string): string[] {
  const [, after = ''] = contributing.split('\n## The words\n');
  const [section = ''] = after.split('\n## ');
  const rows = [...section.matchAll(/^\| ([^|]+) \| [^|]+ \|$/gm)].map(([, first = '']) => first.trim());
  return rows
    .filter((first) => first !== 'word' && !/^-+$/.test(first))
    .flatMap((first) => first.split(/, */));
}

const exportedTypes = (source: string): string[] =>
  [...source.matchAll(/^export (?:abstract )?(?:type|interface|class) ([A-Za-z0-9]+)/gm)].map(
    ([, name = '']) => name,
  );

/** Name → where it stands, of every folder and every exported type of the rooms. */
function namesOf(rooms: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const room of rooms) {
    names.set(room, room);
    for (const entry of readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name);
      if (entry.isDirectory()) {
        names.set(entry.name, path.relative(root, file));
      } else if (entry.name.endsWith('.ts')) {
        for (const name of exportedTypes(readFileSync(file, 'utf8'))) {
          names.set(name, path.relative(root, file));
        }
      }
    }
  }
  return names;
}

/** The words of names that neither the glossary nor the plain words hold, each with a name that has it. */
function unknownIn(names: ReadonlyMap<string, string>, glossary: readonly string[]): string[] {
  const known = new Set([...PLAIN, ...glossary.flatMap(wordsOf)]);
  return [...names].flatMap(([name, where]) =>
    wordsOf(name)
      .filter((word) => !formsOf(word).some((form) => known.has(form)))
      .map((word) => `${word} (${name} in ${where})`),
  );
}

const glossary = glossaryOf(readFileSync(path.join(root, 'CONTRIBUTING.md'), 'utf8'));

describe('the glossary in CONTRIBUTING.md', () => {
  test('explains every noun in the name of a folder or an exported type', () => {
    const unknown = unknownIn(namesOf(ROOMS), glossary);
    expect(unknown, 'name it by a word of the glossary, or explain the word there').toEqual([]);
  });

  test('explains each word once, and none that is plain', () => {
    expect(glossary.filter((word, i) => glossary.indexOf(word) !== i)).toEqual([]);
    expect(glossary.filter((word) => PLAIN.has(word))).toEqual([]);
  });
});

describe('the test of the glossary is awake:', () => {
  test('a noun that nobody explained is found, in a type and in a folder', () => {
    const names = new Map([
      ['PluginLocks', 'agent/a.ts'],
      ['PluginOutlook', 'agent/b.ts'],
      ['swapped-eyes', 'watch/swapped-eyes'],
    ]);
    expect(unknownIn(names, ['plugin', 'plugin lock', 'swap'])).toEqual([
      'outlook (PluginOutlook in agent/b.ts)',
      'eyes (swapped-eyes in watch/swapped-eyes)',
    ]);
  });

  test('the names of exported types and classes are read, and no others', () => {
    const source =
      'export type A = 1;\nexport class Bee {}\nexport interface Sea {}\ntype Own = 2;\nexport const d = 3;\n';
    expect(exportedTypes(source)).toEqual(['A', 'Bee', 'Sea']);
  });

  test('the words of the table are read, also several in one row', () => {
    expect(glossary).toContain('plugin');
    expect(glossary).toContain('validate');
  });
});
