// Writes docs/charts/*.svg and the table in docs/performance.md from bench/results.json: `node bench/charts.mjs`.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { readResults } from './results.mjs';
import { drawChart } from './svg.mjs';
import { markdownTable, missedBars } from './table.mjs';

const DOCS = new URL('../docs/', import.meta.url);
const PAGE = new URL('performance.md', DOCS);
const BEGIN = '<!-- Written by "node bench/charts.mjs" from bench/results.json. -->';
const END = '<!-- The end of what is written. -->';

const TITLES = {
  files: { title: 'An install, by files of 1,000 bytes', x: 'files' },
  bytes: { title: 'An install of 100 files, by bytes', x: 'bytes' },
  plugins: { title: 'An agent, by plugins in its root', x: 'plugins' },
  connections: { title: 'A platform, by agents that have dialled in', x: 'connections' },
};

const machineOf = ({ machine: { node, cores, kernel, places, load } }) =>
  `Node ${node}, ${cores} cores with a load of ${load.toFixed(0)}, ${kernel}, ${Object.values(places).join(' and ')}`;

/** The charts of all curves that were measured, by file name. */
async function writeCharts(curves) {
  const folder = new URL('charts/', DOCS);
  await mkdir(folder, { recursive: true });
  const names = Object.keys(TITLES).filter((name) => curves[name] !== undefined);
  for (const name of names) {
    await writeFile(
      new URL(`${name}.svg`, folder),
      drawChart({ ...TITLES[name], points: curves[name].points }),
    );
  }
  return names;
}

/** The part of the page that comes from the figures. */
function pagePart({ parts, curves }, charts) {
  const seen = Object.values(parts);
  const rows = seen.flatMap((part) => part.rows);
  const runs = new Set(seen.map((part) => `${machineOf(part)}, ${part.rounds} rounds`));
  const table =
    rows.length === 0
      ? []
      : [`Seen on: ${[...runs].join('; ')}.`, markdownTable(rows), `${missedBars(rows)}.`];
  const shown = charts.flatMap((name) => [
    `![${TITLES[name].title}](charts/${name}.svg)`,
    `${TITLES[name].title}: ${machineOf(curves[name])}, medians of ${curves[name].rounds}.`,
  ]);
  return [...table, ...shown].join('\n\n');
}

const results = await readResults();
const charts = await writeCharts(results.curves);
const page = await readFile(PAGE, 'utf8');
const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
if (from < 0 || to < from) {
  throw new Error(
    `Cannot write the table into ${fileURLToPath(PAGE)}: it lacks the lines "${BEGIN}" and "${END}"`,
  );
}
const part = pagePart(results, charts);
await writeFile(PAGE, `${page.slice(0, from)}${BEGIN}\n\n${part}\n\n${page.slice(to)}`);
console.log(`Wrote ${charts.length} charts and the table of ${Object.keys(results.parts).length} parts`);
