/** docs/vectors/gate.json: what lies on the disk, and what every loader says about it. The answers are written by hand. */
import type { GateCase } from './gate/case.ts';
import { STAMP } from './gate/case.ts';
import { manifestCases } from './gate/manifests.ts';
import { entryCases, markerCases, stateCases } from './gate/markers.ts';
import { rootCases, verifyCases } from './gate/roots.ts';

/** A report of what is loaded: the file that it becomes, or `null` if it is refused. `at`: milliseconds since the epoch. */
export type LoadedVector = { plugin: string; generation: string; at: number; file: string | null };

export type GateVectors = { about: string[]; cases: GateCase[]; loaded: LoadedVector[] };

const AT = Date.UTC(2026, 4, 8, 14, 15, 30, 123);
const TIME = '2026-05-08T14:15:30.123Z';
const report = (generation: string, at = TIME): string =>
  `${JSON.stringify({ version: 1, generation, at })}\n`;

const LOADED: LoadedVector[] = [
  { plugin: 'lint', generation: STAMP, at: AT, file: report(STAMP) },
  {
    plugin: 'a.b_c-d',
    generation: 'dir-64769-123-1778249730123456789',
    at: 0,
    file: report('dir-64769-123-1778249730123456789', '1970-01-01T00:00:00.000Z'),
  },
  { plugin: 'lint', generation: 'g'.repeat(256), at: AT, file: report('g'.repeat(256)) },
  { plugin: 'lint', generation: 'g'.repeat(257), at: AT, file: null },
  { plugin: 'lint', generation: '', at: AT, file: null },
  { plugin: '../lint', generation: STAMP, at: AT, file: null },
  { plugin: 'Lint', generation: STAMP, at: AT, file: null },
  { plugin: '', generation: STAMP, at: AT, file: null },
];

export const gateVectors = (): GateVectors => ({
  about: [
    'What lies on the disk, and what a loader says about it. docs/loader.md explains what it means.',
    'cases: the files to make below an empty directory, in this order (path: one that ends in "/" is a directory, the directories above a file are made; text or base64: the content, repeated "times"; link: a symbolic link to that; mode: permission bits, octal; without: 644, of a directory 755; a path that comes twice is written again), the roots below it, the options, and then what the gate says of each name and what the scan says.',
    'gate: generation "directory" stands for "dir-<device>-<inode>-<ctime of the marker, or of the directory where there is none, in nanoseconds>". version: that of the manifest, null where there is none.',
    'orElse: what a loader may say of that plugin instead, because it reads less of YAML or of JSON than all. A loader may also do without an option; cases with that option are not for it.',
    'scan: absent where every plugin that the gate admits is in "admitted", and every other one that lies there in "refused". user "other": who asks is not root, and owns nothing.',
    'loaded: reports in the first root, and the text of .loaded/<plugin>.json after each; null: it is refused, and nothing is written.',
  ],
  cases: [...markerCases, ...stateCases, ...entryCases, ...manifestCases, ...verifyCases, ...rootCases],
  loaded: LOADED,
});
