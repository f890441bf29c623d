/** Makes HTML of which every value is escaped and cut, so that no text of a plugin becomes markup or fills the page. */
import { safe } from '../../shared/wording.ts';

/** The most characters of a value. */
const VALUE_MAX = 400;

/** Markup. Only {@link html} and {@link markup} make it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What may stand in a template. A list is put together, and undefined is nothing. */
type Part = Html | string | number | undefined | readonly Part[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  const line = safe(text.slice(0, VALUE_MAX).replaceAll(/\s+/g, ' '));
  return `${line}${text.length > VALUE_MAX ? '…' : ''}`.replaceAll(
    /[&<>"']/g,
    (found) => ENTITIES[found] ?? '',
  );
}

function textOf(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Html) return part.text;
  return typeof part === 'object' ? part.map(textOf).join('') : escaped(String(part));
}

/** Markup with values in it, each of which is escaped unless it is markup itself. Attributes need quotation marks. */
export const html = ({ raw }: TemplateStringsArray, ...parts: readonly Part[]): Html =>
  new Html(
    raw.map((text, i) => `${i === 0 ? '' : textOf(parts[i - 1])}${text.replaceAll(/\s+/g, ' ')}`).join(''),
  );

/** A text of this program that is markup already. */
export const markup = (text: string): Html => new Html(text);

/** A text in which the commands are marked. */
export const withCommands = (text: string): Html =>
  html`${text.split(/"(airlock [^"]+)"/).map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part))}`;
