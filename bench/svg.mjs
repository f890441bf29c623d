// A chart as SVG, by hand: times and memory over one quantity, all axes logarithmic, for light and dark pages.

const WIDTH = 760;
const HEIGHT = 300;
const PANEL = { width: 270, height: 180, top: 70 };
/** The left edges of the two panels. */
const LEFTS = [70, 430];
/** The colours of the curves, on light and on dark paper. */
const LIGHT = {
  paper: '#ffffff',
  ink: '#24292f',
  grid: '#d0d7de',
  curves: ['#0969da', '#bc4c00', '#1a7f37'],
};
const DARK = { paper: '#0d1117', ink: '#e6edf3', grid: '#30363d', curves: ['#58a6ff', '#f0883e', '#3fb950'] };

const rules = ({ paper, ink, grid, curves }) =>
  [
    `.paper { fill: ${paper} }`,
    `text { fill: ${ink} }`,
    `.grid { stroke: ${grid} }`,
    ...curves.map((colour, i) => `.curve${i} { stroke: ${colour} } .dot${i} { fill: ${colour} }`),
  ].join(' ');

const STYLE = `
  text { font: 12px sans-serif }
  polyline { fill: none; stroke-width: 2 }
  .title { font-size: 15px; font-weight: 600 }
  .middle { text-anchor: middle }
  .end { text-anchor: end }
  ${rules(LIGHT)}
  @media (prefers-color-scheme: dark) { ${rules(DARK)} }
`;

const UNITS = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** 1000 as 1k, 0.1 as it is. */
function short(value) {
  const [size, letter] = UNITS.find(([least]) => value >= least) ?? [1, ''];
  return `${Number((value / size).toPrecision(2))}${letter}`;
}

/** What stands beside a mark of an axis. */
const LABELS = {
  time: (millis) => (millis < 1000 ? `${short(millis)} ms` : `${short(millis / 1000)} s`),
  memory: (mb) => (mb < 1000 ? `${short(mb)} MB` : `${short(mb / 1000)} GB`),
};

/** An axis over whole decades that holds all values. @returns where a value lies, from 0 to 1, and its marks */
function axisOf(values) {
  const from = Math.floor(Math.log10(Math.min(...values)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))));
  return {
    place: (value) => (Math.log10(value) - from) / (to - from),
    marks: Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i)),
  };
}

const round = (number) => Number(number.toFixed(1));

function text(x, y, words, name = '') {
  return `<text x="${round(x)}" y="${round(y)}"${name === '' ? '' : ` class="${name}"`}>${words}</text>`;
}

const line = (x1, y1, x2, y2) =>
  `<line class="grid" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;

/** One curve with its dots. @param {[number, number][]} dots */
function curve(dots, number) {
  const path = dots.map((dot) => dot.map(round).join(',')).join(' ');
  const marks = dots.map(
    ([x, y]) => `<circle class="dot${number}" cx="${round(x)}" cy="${round(y)}" r="3"/>`,
  );
  return [`<polyline class="curve${number}" points="${path}"/>`, ...marks].join('');
}

/** The names of the curves, above their panel, each in its colour. */
function legend(names, left) {
  let x = left;
  return names.map((name, number) => {
    const dot = `<circle class="dot${number}" cx="${x + 4}" cy="${PANEL.top - 14}" r="4"/>`;
    const said = dot + text(x + 12, PANEL.top - 10, name);
    x += 24 + name.length * 7;
    return said;
  });
}

function panel(left, { points, field, xLabel }) {
  const names = Object.keys(points[0][field]);
  const x = axisOf(points.map((point) => point.x));
  const y = axisOf(points.flatMap((point) => Object.values(point[field])));
  const bottom = PANEL.top + PANEL.height;
  const at = (value) => left + x.place(value) * PANEL.width;
  const up = (value) => bottom - y.place(value) * PANEL.height;
  return [
    ...x.marks.map(
      (mark) =>
        line(at(mark), PANEL.top, at(mark), bottom) + text(at(mark), bottom + 16, short(mark), 'middle'),
    ),
    ...y.marks.map(
      (mark) =>
        line(left, up(mark), left + PANEL.width, up(mark)) +
        text(left - 6, up(mark) + 4, LABELS[field](mark), 'end'),
    ),
    text(left + PANEL.width / 2, bottom + 34, xLabel, 'middle'),
    ...names.map((name, number) =>
      curve(
        points.map((point) => [at(point.x), up(point[field][name])]),
        number,
      ),
    ),
    ...legend(
      names.map((name) => (field === 'memory' ? `memory, ${name}` : name)),
      left,
    ),
  ].join('\n');
}

/**
 * Draws the times and the memory of one curve.
 *
 * @param points each with `x`, and with `time` (milliseconds) and `memory` (MB) by name.
 */
export function drawChart({ title, x: xLabel, points }) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" class="paper"/>`,
    text(WIDTH / 2, 28, title, 'title middle'),
    panel(LEFTS[0], { points, field: 'time', xLabel }),
    panel(LEFTS[1], { points, field: 'memory', xLabel }),
    '</svg>',
    '',
  ].join('\n');
}
