// The flags of `npm run bench`, their help, and their errors.
import os from 'node:os';
import { parseArgs } from 'node:util';

/** The parts of the table, in the order in which they are measured. */
export const PARTS = [
  'install',
  'delta',
  'docker',
  'memory',
  'reader',
  'scan',
  'import',
  'start',
  'watch',
  'reconcile',
];
/** The curves, in the order in which they are measured. */
export const CURVES = ['files', 'bytes', 'plugins', 'connections'];
const PLACES = ['disk', 'tmpfs'];

const FLAGS = {
  files: { value: 'N', fallback: '18000', help: 'files of the big made-up plugin, 6,500 bytes each' },
  rounds: { value: 'N', fallback: '3', help: 'interleaved rounds; small things are measured more often' },
  bundle: { value: 'FILE', multiple: true, help: 'a packed plugin to install too; may be repeated' },
  only: {
    value: 'PART,…',
    help: `measure these parts only: ${PARTS.join(', ')}; with --curves: ${CURVES.join(', ')}`,
  },
  places: { value: 'PLACE,…', fallback: PLACES.join(','), help: 'where to install: disk, tmpfs' },
  disk: { value: 'DIR', fallback: os.tmpdir(), help: 'a directory on the disk to measure' },
  'memory-mb': { value: 'N', fallback: '1000', help: 'MB of the bundle whose peak memory is measured' },
  updates: { value: 'N', fallback: '300', help: 'updates of a small plugin during which a reader looks' },
  watched: { value: 'N', fallback: '10000', help: 'files of the plugin that is watched' },
  curves: {
    help: 'measure instead how time and memory grow, for the charts; long, so lower --max-… for a look',
  },
  'max-files': { value: 'N', fallback: '100000', help: 'the most files of the curves' },
  'max-mb': { value: 'N', fallback: '1000', help: 'the most MB of the curves' },
  'max-plugins': { value: 'N', fallback: '1000', help: 'the most plugins of the curves' },
  'max-connections': { value: 'N', fallback: '1000', help: 'the most connections of the curves' },
  docker: {
    help: 'install a container engine for the rows of docker cp if there is none (root, apt)',
  },
  save: { help: 'write what was seen to bench/results.json; parts that did not run keep their figures' },
  help: { help: 'print this' },
};

/** What `--help` prints. */
export function help() {
  const lines = Object.entries(FLAGS).map(([name, { value, fallback, help: text }]) => {
    const flag = `--${name}${value === undefined ? '' : ` ${value}`}`;
    return `  ${flag.padEnd(20)} ${text}${fallback === undefined ? '' : ` (default: ${fallback})`}`;
  });
  return [
    'npm run bench -- [flags]',
    '',
    'Measures Airlock beside what people use today, and prints one table of ratios with the bars that it is to reach.',
    '',
    ...lines,
    '',
    'Example: npm run bench -- --files 3000 --rounds 3',
    'The charts: npm run bench -- --curves --save, then node bench/charts.mjs',
  ].join('\n');
}

/** A flag that is wrong; the message is for the person who typed it. */
export class UsageError extends Error {}

/** Reads the flags. @throws UsageError for a flag that is unknown or has a value that cannot be used. */
export function readOptions(args) {
  const values = parse(args);
  const curves = values.curves === true;
  return {
    help: values.help === true,
    save: values.save === true,
    docker: values.docker === true,
    curves,
    bundles: values.bundle ?? [],
    disk: values.disk,
    places: choices('places', values.places, PLACES),
    only: values.only === undefined ? undefined : choices('only', values.only, curves ? CURVES : PARTS),
    files: count('files', values.files, 2),
    rounds: count('rounds', values.rounds, 1),
    memoryMb: count('memory-mb', values['memory-mb'], 20),
    updates: count('updates', values.updates, 1),
    watched: count('watched', values.watched, 100),
    maxFiles: count('max-files', values['max-files'], 10),
    maxMb: count('max-mb', values['max-mb'], 1),
    maxPlugins: count('max-plugins', values['max-plugins'], 1),
    maxConnections: count('max-connections', values['max-connections'], 1),
  };
}

function parse(args) {
  const options = Object.fromEntries(
    Object.entries(FLAGS).map(([name, { value, fallback, multiple = false }]) => [
      name,
      value === undefined
        ? { type: 'boolean' }
        : { type: 'string', multiple, ...(fallback === undefined ? {} : { default: fallback }) },
    ]),
  );
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new UsageError(error.message.split('\n')[0], { cause: error });
  }
}

function count(flag, text, least) {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  throw new UsageError(`--${flag} is "${text}", and must be a whole number of at least ${least}`);
}

function choices(flag, text, known) {
  const chosen = text.split(',');
  const strange = chosen.find((word) => !known.includes(word));
  if (strange === undefined) return chosen;
  throw new UsageError(`--${flag} names "${strange}", and takes only: ${known.join(', ')}`);
}
