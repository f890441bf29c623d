/** Characters that people do not see, in a text that an agent reads. Pure. */
import { type Finding, finding } from './finding.ts';
import { linesOf } from './lines.ts';

/** Invisible copies of ASCII. Behind a black flag they are the flag of a region, which everybody sees. */
const TAGS = /\u{1F3F4}[\u{E0030}-\u{E0039}\u{E0061}-\u{E007A}]{1,16}\u{E007F}|[\u{E0000}-\u{E007F}]+/gu;
const BIDI = /[\u202A-\u202E\u2066-\u2069]/gu;
/** Texts in these scripts need the controls that only isolate. */
const RIGHT_TO_LEFT = /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFC]/u;
const ISOLATES = /^[\u2066-\u2069]$/u;

const BIDI_NAMES: Readonly<Record<string, string>> = {
  '\u202A': 'left-to-right embedding',
  '\u202B': 'right-to-left embedding',
  '\u202C': 'end of an embedding',
  '\u202D': 'left-to-right override',
  '\u202E': 'right-to-left override',
  '\u2066': 'left-to-right isolate',
  '\u2067': 'right-to-left isolate',
  '\u2068': 'first strong isolate',
  '\u2069': 'end of an isolate',
};

/** The most characters of a hidden text that a message repeats. */
const SHOWN = 200;

/** Two findings at most: one for hidden text, one for changed direction. */
export function hiddenCharacters(path: string, text: string): Finding[] {
  return [...tagsIn(path, text), ...bidiIn(path, text)];
}

function tagsIn(path: string, text: string): Finding[] {
  const runs = [...text.matchAll(TAGS)].filter(([run]) => !run.startsWith('\u{1F3F4}'));
  const [first] = runs;
  if (first === undefined) {
    return [];
  }
  const characters = runs.flatMap(([run]) => Array.from(run));
  const decoded = characters
    .map((one) => (one.codePointAt(0) ?? 0) - 0xe0000)
    .filter((code) => code >= 0x20 && code < 0x7f)
    .map((code) => String.fromCharCode(code))
    .join('');
  const said = decoded === '' ? '' : ` that read ${JSON.stringify(decoded.slice(0, SHOWN))}`;
  const more = decoded.length > SHOWN ? ' and more' : '';
  const count =
    characters.length === 1 ? 'an invisible tag character' : `${characters.length} invisible tag characters`;
  return [
    finding('hidden-characters', path, `it holds ${count}${said}${more}`, {
      line: linesOf(text)(first.index),
    }),
  ];
}

function bidiIn(path: string, text: string): Finding[] {
  const isRightToLeft = RIGHT_TO_LEFT.test(text);
  const found = [...text.matchAll(BIDI)].filter(([one]) => !(isRightToLeft && ISOLATES.test(one)));
  const [first] = found;
  if (first === undefined) {
    return [];
  }
  const [character] = first;
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
  const more = found.length === 1 ? '' : ` and ${found.length - 1} more`;
  const message = `it holds U+${code} (${BIDI_NAMES[character] ?? ''})${more}: it is shown in another order than it is read`;
  return [finding('hidden-characters', path, message, { line: linesOf(text)(first.index) })];
}
