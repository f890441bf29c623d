/** One case of docs/vectors/gate.json: what lies on the disk, and what the gate says about it. */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';

import type { LoaderOptions } from '../../../loader/index.ts';
import type { Marker } from '../../../shared/format/marker.ts';
import { type FileEntry, counts, createIgnore, treeDigest } from '../../../shared/format/tree.ts';
import type { AdmissionLevel, RefusalReason } from '../../../shared/rule/admission.ts';

/**
 * One entry below the directory of the case. A path that ends in `/` is a directory. The content is `text` (UTF-8) or
 * `base64`, repeated `times`; `link` makes a symbolic link instead.
 */
export type CaseFile = {
  path: string;
  text?: string;
  base64?: string;
  times?: number;
  link?: string;
  /** Permission bits, octal. Default: 644, of a directory 755. */
  mode?: string;
};

/** What the gate says. `generation`: the installId, or `directory` if it is made of the directory's identity. */
export type CaseAnswer =
  | { admitted: true; root: string; level: AdmissionLevel; generation: string; version: string | null }
  | { admitted: false; root: string; reason: RefusalReason };

type Options = Pick<LoaderOptions, 'runtime' | 'mode' | 'verify' | 'manifest' | 'ignore'>;

export type GateCase = {
  name: string;
  /** Who asks: `other` is a user who is not root. */
  user?: 'other';
  roots: string[];
  options: Options;
  files: CaseFile[];
  gate: Record<string, CaseAnswer>;
  /** What a loader may say of a plugin instead, because it reads less of YAML or JSON. */
  orElse?: Record<string, CaseAnswer>;
  /** Absent: it says of each plugin what the gate says. */
  scan?: {
    admitted: { name: string; root: string }[];
    refused: { name: string; root: string; reason: RefusalReason }[];
    shadowed: { name: string; root: string; by: string }[];
  };
};

export const STAMP = '20260508T141530123Z-9f86d081';
export const LATER = '20260509T141530123Z-0a1b2c3d';

/** What a plugin holds: its files, and its marker (`null`: none; a text: what is in it). */
export type Content = {
  files?: Record<string, string>;
  marker?: Record<string, unknown> | string | null;
  more?: CaseFile[];
};

export const yamlOf = (name: string): string => `name: ${name}\nversion: 1.2.3\n`;

const ignored = createIgnore();
const EXECUTABLE = /\.sh$/;

/** The files of a tree as a receipt lists them; what ends in `.sh` may be executed. */
function listOf(files: Record<string, string>): FileEntry[] {
  return Object.entries(files)
    .filter(([path]) => counts(path, ignored))
    .map(([path, text]) => ({
      path,
      size: Buffer.byteLength(text),
      mode: EXECUTABLE.test(path) ? '755' : '644',
      sha256: createHash('sha256').update(text).digest('hex'),
    }));
}

export function markerOf(name: string, files: Record<string, string>): Marker {
  const list = listOf(files);
  return {
    version: 1,
    plugin: name,
    pluginVersion: '1.2.3',
    installId: STAMP,
    bundle: `sha256:${'ab'.repeat(32)}`,
    tree: treeDigest(list),
    files: list.length,
    bytes: list.reduce((sum, { size }) => sum + size, 0),
    installedAt: '2026-05-08T14:15:30.123Z',
    by: 'platform',
    replaced: null,
  };
}

/** The receipt of the files that were installed. */
export function receiptOf(name: string, files: Record<string, string>, root = 'plugins'): CaseFile {
  const receipt = { ...markerOf(name, files), list: listOf(files), skipped: [] };
  return { path: `${root}/.receipts/${name}.${STAMP}.json`, text: JSON.stringify(receipt) };
}

/** What lies on the disk for one plugin. */
export function pluginFiles(name: string, content: Content = {}, root = 'plugins'): CaseFile[] {
  const { files = { 'plugin.yaml': yamlOf(name) }, marker = {}, more = [] } = content;
  const written = Object.entries(files).map(([path, text]): CaseFile => {
    const file = { path: `${root}/${name}/${path}`, text };
    return EXECUTABLE.test(path) ? { ...file, mode: '755' } : file;
  });
  const text = typeof marker === 'string' ? marker : JSON.stringify({ ...markerOf(name, files), ...marker });
  const marking = marker === null ? [] : [{ path: `${root}/${name}/.complete`, text }];
  return [
    { path: `${root}/${name}/` },
    ...written,
    ...marking,
    ...more.map((file) => ({ ...file, path: posix.join(root, name, file.path) })),
  ];
}

type Admitted = Extract<CaseAnswer, { admitted: true }>;

export const admitted = (but: Partial<Omit<Admitted, 'admitted'>> = {}): CaseAnswer => ({
  admitted: true,
  root: 'plugins',
  level: 'verified',
  generation: STAMP,
  version: '1.2.3',
  ...but,
});
export const unverified = (version: string | null = '1.2.3'): CaseAnswer =>
  admitted({ level: 'unverified', generation: 'directory', version });
export const refused = (reason: RefusalReason, root = 'plugins'): CaseAnswer => ({
  admitted: false,
  root,
  reason,
});

type Rest = Partial<Omit<GateCase, 'name' | 'files' | 'gate'>>;

/** A case with files that are written out. */
export const gateCase = (
  name: string,
  files: CaseFile[],
  gate: GateCase['gate'],
  rest: Rest = {},
): GateCase => ({ name, roots: ['plugins'], options: {}, files, gate, ...rest });

/** A case about plugins in one root: name → what it holds, what the gate says, what a loader may say instead. */
export function pluginsCase(
  name: string,
  plugins: Record<string, readonly [Content, CaseAnswer, CaseAnswer?]>,
  rest: Rest = {},
): GateCase {
  const rows = Object.entries(plugins);
  const files = rows.flatMap(([plugin, [content]]) => pluginFiles(plugin, content));
  const gate = Object.fromEntries(rows.map(([plugin, [, answer]]) => [plugin, answer]));
  const others = rows.flatMap(([plugin, [, , or]]) => (or === undefined ? [] : [[plugin, or] as const]));
  const orElse = others.length === 0 ? {} : { orElse: Object.fromEntries(others) };
  return gateCase(name, files, gate, { ...orElse, ...rest });
}
