/** The colours of the status page can be read, in light and in dark. */
import { expect, it } from 'vitest';

import { STYLE } from '../../agent/page/style.ts';

const [light = '', dark = ''] = STYLE.split('@media (prefers-color-scheme: dark)');
const coloursOf = (text: string): Map<string, string> =>
  new Map(
    [...text.matchAll(/--([a-z-]+): #([0-9a-f]{3,6});/g)].map(([, name = '', hex = '']) => [name, hex]),
  );

/** The relative luminance, as WCAG defines it. */
function luminanceOf(hex: string): number {
  const long = hex.length === 3 ? hex.replaceAll(/./g, '$&$&') : hex;
  const [red = 0, green = 0, blue = 0] = [0, 2, 4]
    .map((at) => Number.parseInt(long.slice(at, at + 2), 16) / 255)
    .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const contrast = (a: string, b: string): number => {
  const [less = 0, more = 0] = [luminanceOf(a), luminanceOf(b)].toSorted((x, y) => x - y);
  return (more + 0.05) / (less + 0.05);
};

it.each([
  ['light', light],
  ['dark', dark],
])('every text has a contrast of 4.5 at least: %s', (_, text) => {
  const colours = coloursOf(text);
  const of = (name: string): string => colours.get(name) ?? '';
  const pairs = [
    ...['ink', 'soft', 'good', 'bad', 'note'].flatMap((ink) => [
      [ink, 'card'],
      [ink, 'paper'],
    ]),
    ['good', 'good-soft'],
    ['bad', 'bad-soft'],
    ['ink', 'bar-soft'],
    ['note', 'bar-soft'],
    ['card', 'bar'],
  ];
  const weak = pairs.filter(([a = '', b = '']) => !(contrast(of(a), of(b)) >= 4.5));
  expect(weak).toEqual([]);
});
