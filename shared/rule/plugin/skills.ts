/** What a skill's file must have to be found and used. Pure. */
import { attempt } from '../../attempt.ts';
import type { FileReading } from '../../format/layout.ts';
import { frontMatterOf } from '../../format/manifest-text.ts';
import { type Finding, finding } from './finding.ts';

const QUOTE = 'Put the value in quotes, so that every runtime reads it';

/** The file of a skill: at the root of the plugin, or of a directory below `skills/`. */
export const isSkillFile = (path: string): boolean => /^(?:skills\/[^/]+\/)?SKILL\.md$/.test(path);

/** A name that only Windows and macOS take for a SKILL.md. */
export function skillFileCase(path: string): Finding[] {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name !== 'SKILL.md' && /^(?:skills\/[^/]+\/)?skill\.md$/i.test(path)
    ? [finding('skill-file-case', path, `its name is "${name}", and runtimes look for "SKILL.md"`)]
    : [];
}

/** @param path as of {@link isSkillFile}. The one at the root may have a name for people. */
export function checkSkill(path: string, reading: FileReading): Finding[] {
  if (reading.kind !== 'text') {
    const why = reading.kind === 'unreadable' ? `: ${reading.why}` : '';
    return [finding('skill-front-matter', path, `it cannot be read${why}`)];
  }
  const front = attempt(
    () => frontMatterOf(reading.text),
    (error) => (error as Error).message.split('\n')[0] ?? 'unreadable front matter',
  );
  if (typeof front === 'string') {
    return [finding('skill-front-matter', path, front)];
  }
  const directory = path.split('/').at(-2);
  const name = textIn(front.fields, 'name');
  // The reading of a manifest has them already.
  const warnings = directory === undefined ? [] : front.warnings;
  const findings = warnings.map((warning) => finding('skill-front-matter', path, warning, { fix: QUOTE }));
  if (directory !== undefined && name === undefined) {
    findings.push(
      finding('skill-no-name', path, 'its front matter has no name', { fix: `Add "name: ${directory}"` }),
    );
  }
  if (directory !== undefined && name !== undefined && name !== directory) {
    const message = `its name is "${name.slice(0, 100)}", and its directory is "${directory}"`;
    findings.push(finding('skill-name', path, message, { line: lineOf(reading.text, 'name') }));
  }
  if (textIn(front.fields, 'description') === undefined) {
    findings.push(finding('skill-no-description', path, 'its front matter has no description'));
  }
  return findings;
}

/** The value of a key that is a text and not empty. */
function textIn(fields: unknown, key: string): string | undefined {
  const value: unknown =
    typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>)[key] : undefined;
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** The line of a key at the left edge, from 1. */
function lineOf(text: string, key: string): number | undefined {
  const at = text.split('\n').findIndex((line) => line.startsWith(`${key}:`));
  return at === -1 ? undefined : at + 1;
}
