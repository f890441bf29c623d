/** From the text of a manifest to its values, with bounds: a file of unknown origin must not cost more than its size. */
import { Lexer, Parser, isCollection, isScalar, parseDocument } from 'yaml';

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

/**
 * The YAML between the two `---` lines at the head of a SKILL.md.
 * @throws Error if there is none.
 */
export function frontMatter(markdown: string): string {
  const match = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(markdown);
  if (match?.[1] === undefined) {
    throw new Error('it has no front matter between two lines of "---"');
  }
  return match[1];
}
