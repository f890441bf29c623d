/** Compares a plugin's tree with what was installed: `stat` by paths, sizes and modes, `digest` by every byte. */
import type { AdmissionDecision } from '../shared/rule/admission.ts';
import type { Layout } from '../shared/format/layout.ts';
import { type Receipt, receiptSchema } from '../shared/format/receipt.ts';
import {
  type FileEntry,
  type TreeDifference,
  compareTrees,
  differenceText,
  treeDigest,
} from '../shared/format/tree.ts';
import { readSmall } from './disk/file.ts';
import { type Tree, type TreeFile, TreeUnreadable, hashTree, listTree } from './disk/tree.ts';
import type { Settings } from './settings.ts';

/** About 400,000 files; more than any install accepts. */
const RECEIPT_MAX_BYTES = 64 * 1024 * 1024;

type Admitted = Extract<AdmissionDecision, { admitted: true }>;

export type Verification =
  | { ok: true; warnings: string[] }
  | { ok: false; reason: 'digest-mismatch' | 'unreadable'; detail: string };

const fine = (...warnings: string[]): Verification => ({ ok: true, warnings });
const mismatch = (detail: string): Verification => ({ ok: false, reason: 'digest-mismatch', detail });

/** Verifies an admitted plugin as deep as the settings say. */
export async function verify(settings: Settings, layout: Layout, admitted: Admitted): Promise<Verification> {
  if (settings.verify === 'marker') {
    return fine();
  }
  if (admitted.installId === undefined) {
    const which = admitted.level === 'unmarked' ? 'It has no marker' : 'Its marker is empty';
    return fine(`${which}: there is nothing to compare its files with`);
  }
  const receipt = await readReceipt(layout, admitted, admitted.installId);
  try {
    return settings.verify === 'stat'
      ? await verifyStat(settings, layout.live(admitted.name), receipt)
      : await verifyDigest(settings, layout.live(admitted.name), receipt, admitted.marker?.tree);
  } catch (error) {
    if (error instanceof TreeUnreadable) {
      return { ok: false, reason: 'unreadable', detail: error.message };
    }
    throw error;
  }
}

/** Reads the receipt. A string says why there is none to compare with. */
export async function readReceipt(
  layout: Layout,
  { name, marker }: Pick<Admitted, 'name' | 'marker'>,
  installId: string,
): Promise<Receipt | string> {
  const { reading } = await readSmall(layout.receipt(name, installId), RECEIPT_MAX_BYTES);
  switch (reading.kind) {
    case 'absent':
      return 'Its receipt is missing';
    case 'unreadable':
      return `Its receipt cannot be read (${reading.why})`;
    case 'text':
      break;
    default:
      return reading satisfies never;
  }
  const receipt = parseReceipt(reading.text);
  if (receipt === undefined) {
    return 'Its receipt is damaged';
  }
  const belongs =
    receipt.plugin === name &&
    receipt.installId === installId &&
    receipt.tree === (marker?.tree ?? receipt.tree);
  return belongs ? receipt : 'Its receipt is that of another install';
}

function parseReceipt(text: string): Receipt | undefined {
  try {
    return receiptSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function verifyStat(
  settings: Settings,
  live: string,
  receipt: Receipt | string,
): Promise<Verification> {
  if (typeof receipt === 'string') {
    return fine(`${receipt}: only the marker was checked`);
  }
  const tree = await listTree(live, settings.ignore, settings.signal);
  return verdictOf(compareTrees(receipt.list, borrowDigests(tree.files, receipt.list)), tree.foreign);
}

/** `stat` reads no content, so the digests count as those of the receipt. */
function borrowDigests(files: readonly TreeFile[], from: readonly FileEntry[]): FileEntry[] {
  const digests = new Map(from.map(({ path, sha256 }) => [path, sha256]));
  return files.map((file) => ({ ...file, sha256: digests.get(file.path) ?? '' }));
}

async function verifyDigest(
  settings: Settings,
  live: string,
  receipt: Receipt | string,
  expected: string | undefined,
): Promise<Verification> {
  if (typeof receipt === 'string' && expected === undefined) {
    return fine(`${receipt} and its marker is of a newer format: there is nothing to compare its files with`);
  }
  const listed: Tree<TreeFile> = await listTree(live, settings.ignore, settings.signal);
  const tree = await hashTree(live, listed, settings.signal);
  if (typeof receipt !== 'string') {
    const verdict = verdictOf(compareTrees(receipt.list, tree.files), tree.foreign);
    if (!verdict.ok) {
      return verdict;
    }
  } else if (tree.foreign.length > 0) {
    return verdictOf({ modified: [], missing: [], unlisted: [] }, tree.foreign);
  }
  const digest = treeDigest(tree.files);
  if (expected !== undefined && digest !== expected) {
    return mismatch(`Its files have the tree digest "${digest}", its marker says "${expected}"`);
  }
  return typeof receipt === 'string'
    ? fine(`${receipt}: compared with the marker's tree digest alone`)
    : fine();
}

function verdictOf(difference: TreeDifference, foreign: readonly string[]): Verification {
  const detail = differenceText({ ...difference, unlisted: [...difference.unlisted, ...foreign] });
  return detail === undefined ? fine() : mismatch(detail);
}
