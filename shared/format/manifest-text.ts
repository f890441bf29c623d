/** From the text of a manifest to its values, with bounds: a file of unknown origin must not cost more than its size. */
import { Lexer, Parser, YAMLParseError, isCollection, isScalar, parseDocument } from 'yaml';

/** YAML with deeper nesting is refused: composing it is recursive, and a stack overflow may end the whole process. */
const NESTING_MAX = 64;

/** YAML with more tokens is refused: the check for duplicate keys takes the square of their number. */
const LEXEMES_MAX = 20_000;

/** Where a version may be. As a number, 1.10 would be 1.1. */
const VERSIONS = [['version'], ['metadata', 'version']];

/**
 * YAML 1.2 without custom tags and with few aliases.
 * @throws Error
 */
export function yamlOf(source: string): unknown {
  assertModest(source);
  const document = parseDocument(source, { schema: 'core' });
  const [error] = document.errors;
  if (error !== undefined) {
    throw error;
  }
  for (const path of VERSIONS) {
    const version: unknown = isCollection(document.contents)
      ? document.contents.getIn(path, true)
      : undefined;
    if (isScalar(version) && typeof version.value === 'number') {
      version.value = version.source;
    }
  }
  return document.toJS({ maxAliasCount: 20 });
}

/** Bounds the cost of {@link parseDocument}. The lexer is neither recursive nor more than linear. */
function assertModest(source: string): void {
  const parser = new Parser();
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(source)) {
    lexemes += 1;
    Array.from(parser.next(lexeme));
    if (parser.stack.length > NESTING_MAX) {
      throw new Error(`it is nested more than ${NESTING_MAX} levels deep`);
    }
    if (lexemes > LEXEMES_MAX) {
      throw new Error(`it holds more than ${LEXEMES_MAX} words and signs`);
    }
  }
}

/**
 * JSON in which the version is what was written.
 * @throws SyntaxError
 */
export function jsonOf(source: string): unknown {
  const json: unknown = JSON.parse(source);
  if (typeof json === 'object' && json !== null && 'version' in json && typeof json.version === 'number') {
    return { ...json, version: writtenVersion(source) ?? json.version };
  }
  return json;
}

/** The number after the last key "version" of the outermost object, as it is written in valid JSON. */
function writtenVersion(source: string): string | undefined {
  let depth = 0;
  let version: string | undefined;
  let [last, beforeLast] = ['', ''];
  for (const [token] of source.matchAll(/"(?:[^"\\]+|\\.)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g)) {
    depth += token === '{' || token === '[' ? 1 : token === '}' || token === ']' ? -1 : 0;
    if (depth === 1 && last === ':' && beforeLast.startsWith('"') && JSON.parse(beforeLast) === 'version') {
      version = token;
    }
    [last, beforeLast] = [token, last];
  }
  return version;
}

type FrontMatter = { fields: unknown; warnings: string[] };

/**
 * The values between the two `---` lines at the head of a SKILL.md. Where they are no YAML, as with a colon in a description
 * without quotes, each entry is read by itself, and one that is no YAML either is plain text.
 * @throws Error if there is no front matter, or it cannot be read so.
 */
export function frontMatterOf(markdown: string): FrontMatter {
  const source = betweenDashes(markdown);
  try {
    return { fields: yamlOf(source), warnings: [] };
  } catch (error) {
    const read = error instanceof YAMLParseError ? readByEntry(source) : undefined;
    if (read === undefined) {
      throw error;
    }
    return read;
  }
}

function betweenDashes(markdown: string): string {
  const match = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(markdown);
  if (match?.[1] === undefined) {
    throw new Error('it has no front matter between two lines of "---"');
  }
  return match[1];
}

/** Undefined if the text has other lines than entries and what belongs to them, a key twice, or no entry to read as text. */
function readByEntry(source: string): FrontMatter | undefined {
  const entries = entriesOf(source);
  if (entries === undefined) {
    return undefined;
  }
  const fields = new Map<string, unknown>();
  const warnings: string[] = [];
  for (const [key, lines] of entries) {
    const value = valueOf(lines);
    if (value === undefined) {
      warnings.push(`"${key}" is not valid YAML and is read as plain text: put its value in quotes`);
    }
    fields.set(key, value === undefined ? plainText(lines) : value);
  }
  return warnings.length === 0 ? undefined : { fields: Object.fromEntries(fields), warnings };
}

/** The lines of each entry: `key: value` at the left edge, then what is indented, list items, comments and empty lines. */
function entriesOf(source: string): Map<string, [string, ...string[]]> | undefined {
  const entries = new Map<string, [string, ...string[]]>();
  let last: string[] | undefined;
  for (const line of source.split(/\r?\n/)) {
    const key = /^([\w.-]+):(?=[ \t]|$)/.exec(line)?.[1];
    if (key !== undefined) {
      if (entries.has(key)) {
        return undefined;
      }
      const lines: [string] = [line];
      entries.set(key, lines);
      last = lines;
    } else if (/^[ \t]*(?:#|$)/.test(line) || (last !== undefined && /^(?:[ \t]|-[ \t])/.test(line))) {
      last?.push(line);
    } else {
      return undefined;
    }
  }
  return entries;
}

/** The value of one entry; undefined if it is no YAML. */
function valueOf(lines: readonly string[]): unknown {
  try {
    const entry = yamlOf(lines.join('\n')) as Record<string, unknown>;
    return Object.values(entry)[0];
  } catch (error) {
    if (error instanceof YAMLParseError) {
      return undefined;
    }
    throw error;
  }
}

const plainText = ([first, ...rest]: readonly [string, ...string[]]): string =>
  [first.slice(first.indexOf(':') + 1), ...rest]
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ');
