/** Adopts a live tree on request, also one without any marker: examines it as an install examines a bundle, then marks it. */
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { AdoptParams } from '../../shared/api/methods.ts';
import { type Adopted, adoptedSchema } from '../../shared/api/plugin.ts';
import { MARKER } from '../../shared/format/layout.ts';
import { type FileEntry, counts, treeDigest } from '../../shared/format/tree.ts';
import type { Marker } from '../../shared/format/marker.ts';
import { checkPaths, codeOfRule } from '../../shared/rule/path-rules.ts';
import { type FileHead, fileHead, HEAD_BYTES, mayHaveHead } from '../../shared/rule/plugin/file-head.ts';
import { findingText } from '../../shared/rule/plugin/finding.ts';
import { escape } from '../../shared/api/violations.ts';
import { truncate } from '../../shared/truncate.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { walkTree } from '../disk/walk.ts';
import type { StoreContext } from '../store/context.ts';
import { verifyPlugin } from '../store/inspect.ts';
import { readMarkerAt } from '../store/marker.ts';
import { answerBefore, questionOf, rememberAnswer } from '../store/operation-log.ts';
import { isUnsyncedElsewhere } from '../store/records.ts';
import { fingerprintOf, hashTree } from '../store/tree.ts';
import { type AdoptPlan, confirmPlan, giveMarker } from './adopt.ts';
import { refuseUnwanted } from './preflight.ts';
import { probeStaged } from './probe-command.ts';
import type { Change } from './transaction.ts';
import { checkManifest, lookAt } from './validate.ts';

/** Further faults of a tree are not told: the first ones must be corrected anyway. */
const PREVENTS_MAX = 20;

/**
 * Gives a live tree a full marker, or, with `plan`, says what that would adopt and what prevents it. A plan changes
 * nothing, is not remembered, and needs no lock; for everything else the caller holds the plugin's lock.
 *
 * @throws Fault NOT_FOUND, CONFLICT, HELD, ARCHIVE_PATH, ARCHIVE_COLLISION, ARCHIVE_TYPE, MANIFEST_*,
 *   RUNTIME_UNSUPPORTED, PROBE_FAILED, MARKER_FAILED, NO_SPACE, READ_ONLY
 */
export async function adopt(
  context: StoreContext,
  params: AdoptParams,
  by: string,
): Promise<Change<Adopted>> {
  const { plugin } = params;
  const asked = {
    params,
    question: questionOf({ ...params, op: 'adopt' }),
    answer: adoptedSchema,
  };
  try {
    if (params.plan === true) {
      return ending(planned(await examine(context, params)));
    }
    const before = answerBefore(context, asked);
    if (before !== undefined) {
      return ending(before);
    }
    const answer = await made(context, params, by);
    rememberAnswer(context, asked, answer);
    return ending(answer);
  } catch (error) {
    throw diskFault(error, `Adopting "${plugin}"`);
  }
}

const ending = (answer: Adopted): Change<Adopted> => ({ answer, collect: () => undefined });

async function made(context: StoreContext, params: AdoptParams, by: string): Promise<Adopted> {
  const { plugin } = params;
  const found = await examine(context, params);
  const [first] = found.prevents;
  if (first !== undefined) {
    throw first;
  }
  if (found.marker !== undefined) {
    return planned(found);
  }
  const warnings = truncate(found.warnings);
  const { version: pluginVersion } = found;
  const plan = confirmPlan(context, plugin, found.plan);
  const facts = {
    pluginVersion,
    by,
    operationId: params.operationId,
    ...(found.warnings.length === 0 ? {} : { warnings }),
  };
  const { installId, pluginVersion: version } = giveMarker(context, plugin, plan, facts);
  const data = { operationId: params.operationId, plugin, installId, version, by };
  context.tell({ type: 'plugin.adopted', data });
  return { ...planned(found), status: 'adopted', installId };
}

/** What a live tree is. */
type Examined = {
  plugin: string;
  plan: AdoptPlan;
  tree: string;
  /** Its full marker, if it has one already. */
  marker: Marker | undefined;
  version: string | undefined;
  warnings: string[];
  prevents: Fault[];
};

function planned({ plugin, plan, tree, marker, version, warnings, prevents }: Examined): Adopted {
  return {
    plugin,
    status: marker === undefined ? 'planned' : 'present',
    pluginVersion: version ?? '0.0.0',
    installId: marker?.installId ?? null,
    tree,
    files: plan.files.length,
    bytes: plan.files.reduce((sum, { size }) => sum + size, 0),
    warnings: truncate(warnings),
    prevents: truncate(
      prevents.map(({ code, message, hint }) => ({
        code,
        detail: message,
        ...(hint === undefined ? {} : { hint }),
      })),
    ),
  };
}

async function examine(context: StoreContext, params: AdoptParams): Promise<Examined> {
  const { plugin, force, tree: expected } = params;
  const live = context.layout.live(plugin);
  refuseOther(context, plugin, live);
  const prevents: Fault[] = [];
  /** Notes what prevents the adoption, and goes on, so that a plan names everything. */
  const check = <T>(run: () => T): T | undefined => {
    try {
      return run();
    } catch (error) {
      const fault = diskFault(error, `Adopting "${plugin}"`);
      // A failing disk says nothing of the plugin.
      if (!(error instanceof Fault) || fault.status >= 500) throw fault;
      prevents.push(fault);
      return undefined;
    }
  };
  const marking = check(() => markingOf(context, plugin, live));
  check(() =>
    refuseUnwanted(context, { plugin, force, ...(expected === undefined ? {} : { tree: expected }) }),
  );
  const fingerprint = fingerprintOf(context, live);
  const heads = new Map<string, Buffer>();
  const { files, others } = hashTree(context, live, (path, first) => {
    if (mayHaveHead(first[0], first.length)) {
      heads.set(path, Buffer.from(first.subarray(0, HEAD_BYTES)));
    }
  });
  const plan = { files, fingerprint };
  const tree = treeDigest(files);
  const directories = directoriesIn(context, live);
  if (expected !== undefined && expected !== tree) {
    prevents.push(
      new Fault('CONFLICT', `The files of "${plugin}" have the tree digest ${tree}, not ${expected}`, {
        hint: 'Look at what is there with a plan (airlock adopt), or install the version that you expect',
      }),
    );
  }
  prevents.push(...strangersIn(plugin, others), ...brokenPathsIn(context, files, directories));
  const found = check(() => checkManifest(context, live, files, { plugin }));
  const facts = { files, directories, heads: headsOf(files, heads), found };
  const warnings = lookAt(context, live, facts).map((one) => findingText(one).slice(0, 600));
  const { probe } = context.policy;
  if (probe !== undefined && prevents.length === 0 && marking?.marker === undefined) {
    const isTouched = marking?.isTouched === true;
    const refused = await probeStaged(
      context,
      probe,
      { plugin, slot: live, files, isTouched },
      new AbortController().signal,
    ).then(
      () => [],
      (error: unknown) => [toFault(error, 'The probe command')],
    );
    prevents.push(...refused);
  }
  return {
    plugin,
    plan,
    tree,
    marker: marking?.marker,
    version: found?.manifest.version ?? marking?.marker?.pluginVersion,
    warnings,
    prevents: prevents.slice(0, PREVENTS_MAX),
  };
}

/** @throws Fault NOT_FOUND if nothing is live, CONFLICT if it is no directory. */
function refuseOther({ disk }: StoreContext, plugin: string, live: string): void {
  const stat = disk.stat(live);
  if (stat === undefined) {
    throw new Fault('NOT_FOUND', `There is no plugin "${plugin}" here`, {
      hint: 'List the plugins with "airlock list", or install it with "airlock push"',
    });
  }
  if (stat.kind !== 'directory') {
    const what = stat.kind === 'symlink' ? 'a symbolic link' : 'no directory';
    throw new Fault('CONFLICT', `"${plugin}" is ${what}, so it cannot be adopted`, {
      hint: 'Put the directory itself in its place, or install the plugin with "airlock push"',
    });
  }
}

type Marking = {
  /** A full marker, of a tree that is as it was installed. */
  marker: Marker | undefined;
  /** It has an empty marker. */
  isTouched: boolean;
};

/** @throws Fault CONFLICT for a marker that says something else than that the tree is whole. */
function markingOf(context: StoreContext, plugin: string, live: string): Marking {
  const reading = readMarkerAt(context, live);
  const conflict = (detail: string, hint: string): Fault => new Fault('CONFLICT', detail, { hint });
  const again = `Install "${plugin}" again; if you know that it is whole, remove ${plugin}/${MARKER}, then adopt it`;
  switch (reading?.kind) {
    case undefined:
      if (context.disk.stat(`${live}/${MARKER}`) !== undefined) {
        throw conflict(`${MARKER} of "${plugin}" is not a file of a marker's size`, again);
      }
      refuseUnsynced(context, plugin);
      return { marker: undefined, isTouched: false };
    case 'empty':
      refuseUnsynced(context, plugin);
      return { marker: undefined, isTouched: true };
    case 'invalid':
      throw conflict(`${MARKER} of "${plugin}" is not a marker: ${reading.why}`, again);
    case 'newer':
      throw conflict(
        `"${plugin}" has the marker of a newer Airlock`,
        'It counts as installed; use that version of Airlock to change it',
      );
    case 'full': {
      const { marker } = reading;
      if (marker.plugin !== plugin) {
        throw conflict(`${MARKER} of "${plugin}" belongs to "${marker.plugin}": somebody copied it`, again);
      }
      const { verdict, detail } = verifyPlugin(context, plugin);
      if (verdict === 'drifted') {
        throw conflict(
          `"${plugin}" was installed, and its files were edited in place: ${detail ?? ''}`,
          `See the edits with "airlock verify ${plugin}"; install it again, or roll it back`,
        );
      }
      return { marker, isTouched: false };
    }
    default:
      return reading satisfies never;
  }
}

/** After a restart of the machine that lost what was not synced, nobody can say that a tree without a marker is whole. */
function refuseUnsynced(context: StoreContext, plugin: string): void {
  if (isUnsyncedElsewhere(context)) {
    throw new Fault(
      'CONFLICT',
      `Files of "${plugin}" may be lost: the root was written without syncs before the machine was restarted`,
      { hint: 'Start the agent, which finds out what was lost; then look at the files, and adopt it' },
    );
  }
}

function strangersIn(plugin: string, others: readonly string[]): Fault[] {
  const [first] = others;
  if (first === undefined) {
    return [];
  }
  const more = others.length > 1 ? ` (and ${others.length - 1} more)` : '';
  const detail = `"${plugin}" holds "${escape(first)}"${more}, which is neither a file nor a directory`;
  const violations = others.map((path) => ({
    path: escape(path),
    rule: 53,
    code: 'ARCHIVE_TYPE' as const,
    what: 'it is a link, a device, a pipe or a socket',
  }));
  return [
    new Fault('ARCHIVE_TYPE', detail, {
      hint: 'Put the file itself in its place, or remove it',
      violations,
    }),
  ];
}

function brokenPathsIn(
  { policy }: StoreContext,
  files: readonly FileEntry[],
  directories: readonly string[],
): Fault[] {
  const entries = [
    ...directories.map((path) => ({ path, kind: 'directory' as const })),
    ...files.map(({ path }) => ({ path, kind: 'file' as const })),
  ];
  const broken = checkPaths(entries, policy.maxDepth).map(({ path, rule, what }) => ({
    path: escape(path.slice(0, 300)),
    rule,
    code: codeOfRule(rule),
    what,
  }));
  const [first] = broken;
  if (first === undefined) {
    return [];
  }
  const more = broken.length > 1 ? ` (and ${broken.length - 1} more)` : '';
  return [
    new Fault(first.code, `"${first.path}" cannot be part of a plugin: ${first.what}${more}`, {
      hint: 'Rename what is listed, or remove it',
      violations: broken,
    }),
  ];
}

/** Every directory of a tree that counts, parents first. */
function directoriesIn({ disk, ignore }: StoreContext, live: string): string[] {
  const found: string[] = [];
  walkTree(disk, live, {
    counts: (path) => counts(path, ignore),
    enter: (path) => path !== '' && found.push(path),
    entry: () => undefined,
  });
  return found;
}

function headsOf(files: readonly FileEntry[], first: ReadonlyMap<string, Buffer>): Map<string, FileHead> {
  return new Map(
    files.flatMap(({ path, size }): [string, FileHead][] => {
      const head = fileHead(first.get(path) ?? Buffer.alloc(0), size);
      return head === undefined ? [] : [[path, head]];
    }),
  );
}
