/** docs/protocol.md names every method with its parameters and scope, every event with its data, and every close code. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';
import type * as z from 'zod';

import { eventData, eventTypes } from '../../shared/api/events.ts';
import { isRead, methods } from '../../shared/api/methods.ts';
import { CLOSE } from '../../shared/api/rpc.ts';

const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/protocol.md'), 'utf8');

/** The cells of the rows that begin with a name in a code span, of all tables below a heading. */
function rowsOf(heading: string): Map<string, string[]> {
  const [, after = ''] = page.split(`\n${heading}\n`);
  const [section = ''] = after.split(/\n#{2,3} /);
  const rows = [...section.matchAll(/^\| `([a-z.-]+)` \|(.*)\|$/gm)];
  return new Map(
    rows.map(([, name = '', rest = '']) => [
      name,
      rest
        .replaceAll('\\|', '/')
        .split('|')
        .map((cell) => cell.trim()),
    ]),
  );
}

/** The names in the first code span of a cell, each with its `?`; what is in braces or behind a colon is left out. */
function fieldsIn(cell: string): string[] {
  let [, span = ''] = /`([^`]*)`/.exec(cell) ?? [];
  for (let before = ''; before !== span;) {
    before = span;
    span = span.replaceAll(/\{[^{}]*\}/g, '').replaceAll(/\[[^[\]]*\]/g, '');
  }
  const found = span.split(',').map((part) => /^\s*(\w+\??)/.exec(part)?.[1] ?? '');
  return found.filter((name) => name !== '').toSorted();
}

const fieldsOf = (shape: Readonly<Record<string, z.ZodType>>): string[] =>
  Object.entries(shape)
    .map(([name, schema]) => (schema.safeParse(undefined).success ? `${name}?` : name))
    .toSorted();

describe('docs/protocol.md', () => {
  const methodRows = rowsOf('### Methods');
  test.each(Object.keys(methods) as (keyof typeof methods)[])('describes the method %s', (name) => {
    const [scope = '', params = ''] = methodRows.get(name) ?? [];
    expect(fieldsIn(params)).toEqual(fieldsOf(methods[name].params.shape));
    expect(scope.startsWith(isRead(name) ? 'read' : 'write')).toBe(true);
  });

  const eventRows = rowsOf('## Events');
  test.each(eventTypes)('describes the event %s', (type) => {
    expect(eventRows.has(type)).toBe(true);
    const shape: Readonly<Record<string, z.ZodType>> = eventData[type].shape;
    // What is behind the fields is an explanation.
    const [cell = ''] = eventRows.get(type) ?? [];
    expect(/no data/.test(cell) ? [] : fieldsIn(cell)).toEqual(fieldsOf(shape));
  });

  test('describes no method and no event that there is not', () => {
    const known = new Set<string>([...Object.keys(methods), ...eventTypes]);
    expect([...methodRows.keys(), ...eventRows.keys()].filter((name) => !known.has(name))).toEqual([]);
  });

  test('describes every code with which a connection is closed', () => {
    const [, closing = ''] = page.split('\n## Closing\n');
    expect(Object.values(CLOSE).filter((code) => !closing.includes(String(code)))).toEqual([]);
  });
});
