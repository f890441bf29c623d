/** Judges one name in one root: reads, judges and verifies it, all from the same directory. */
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';

import {
  type Found,
  type AdmissionDecision,
  type RefusalReason,
  judge,
  refuse,
} from '../shared/rule/admission.ts';
import { generationOf } from '../shared/rule/generation.ts';
import { type Layout, MARKER } from '../shared/format/layout.ts';
import { type Contents, readContents } from './contents.ts';
import type { Memory, Sources } from './memory.ts';
import type { Plugin, Verdict } from './plugin.ts';
import { type Facts, isSame, statEntry, readFacts } from './disk/facts.ts';
import type { Settings } from './settings.ts';
import { variablesOf } from './variables.ts';
import { verify } from './verify.ts';
import { isUnsyncedElsewhere } from './unsynced.ts';

/**
 * If an update swaps the directory while it is read, it is read again. On a busy machine that may happen often. After so
 * many attempts and so long (milliseconds) the plugin is refused.
 */
const ATTEMPTS = { least: 20, most: 1000, millis: 2000 };

type Examined = { settings: Settings; layout: Layout; name: string; disabled: boolean };
type Admitted = Extract<AdmissionDecision, { admitted: true }>;

/** @throws the signal's reason. */
export async function examine(examined: Examined, memory: Memory): Promise<Verdict> {
  const { settings, layout, name, disabled } = examined;
  const live = layout.live(name);
  const begun = settings.clock.now();
  settings.signal?.throwIfAborted();
  const remembered = disabled ? undefined : await memory.recall(live);
  if (remembered !== undefined) {
    return { kind: 'admitted', plugin: remembered };
  }
  for (let attempt = 0; attempt < ATTEMPTS.most; attempt++) {
    settings.signal?.throwIfAborted();
    if (attempt >= ATTEMPTS.least && settings.clock.now() - begun > ATTEMPTS.millis) {
      break;
    }
    const entry = await statEntry(live);
    switch (entry.kind) {
      case 'absent':
        return { kind: 'absent' };
      case 'unreadable':
        return refused(examined, 'unreadable', `It cannot be looked at: ${entry.why}`);
      case 'symlink':
      case 'other':
        return judgeNothing(examined, entry.kind);
      case 'directory':
        break;
      default:
        return entry satisfies never;
    }
    const facts = await readFacts(live);
    const { verdict, sources } =
      typeof facts === 'string'
        ? {
            verdict: refused(examined, 'unreadable', `Its directory cannot be listed: ${facts}`),
            sources: undefined,
          }
        : await judgeDirectory(examined, entry.stats, facts);
    const after = await statEntry(live);
    if (after.kind === 'directory' && isSame(entry.stats, after.stats)) {
      if (verdict.kind === 'admitted' && sources !== undefined) {
        memory.remember(verdict.plugin, sources, begun);
      }
      return verdict;
    }
  }
  return refused(examined, 'in-transition', 'It changed again and again while it was read');
}

function refused({ layout, name }: Examined, reason: RefusalReason, detail: string): Verdict {
  return { kind: 'refused', refusal: { ...refuse(name, reason, detail), root: layout.root } };
}

function judgeNothing(examined: Examined, entry: 'symlink' | 'other'): Verdict {
  const { name, disabled, settings, layout } = examined;
  const judgement = judge(
    { name, entry, disabled, marker: { kind: 'absent' }, manifest: undefined, unsynced: false },
    settings.policy,
  );
  return judgement.admitted
    ? refused(examined, 'not-a-directory', 'It is not a directory')
    : { kind: 'refused', refusal: { ...judgement, root: layout.root } };
}

type Judged = { verdict: Verdict; sources: Sources | undefined };

/** The verdict is valid only if the directory is still the same afterwards. */
async function judgeDirectory(examined: Examined, stats: BigIntStats, facts: Facts): Promise<Judged> {
  const { settings, layout, name, disabled } = examined;
  const { reading } = facts.marker;
  const isEmpty = reading.kind === 'text' && reading.text === '';
  const found: Found = {
    name,
    entry: 'directory',
    marker: reading,
    manifest: facts.manifest && { file: facts.manifest.file, reading: facts.manifest.found.reading },
    disabled,
    unsynced: isEmpty && (await isUnsyncedElsewhere(layout)),
  };
  const judgement = judge(found, settings.policy);
  if (!judgement.admitted) {
    return { verdict: { kind: 'refused', refusal: { ...judgement, root: layout.root } }, sources: undefined };
  }
  const verification = await verify(settings, layout, judgement);
  if (!verification.ok) {
    return { verdict: refused(examined, verification.reason, verification.detail), sources: undefined };
  }
  const live = layout.live(name);
  const contents = await readContents(live, facts.listing, settings.ignore);
  const generation = generationOf(judgement.installId, stats, facts.marker.stats?.ctimeNs);
  const warnings = [...judgement.warnings, ...verification.warnings, ...contents.warnings];
  const plugin = freeze(describe(examined, judgement, contents, generation, warnings));
  return {
    verdict: { kind: 'admitted', plugin },
    // Whether an empty marker is valid depends on other files too.
    sources: settings.verify === 'marker' && !isEmpty ? sourcesOf(live, stats, facts, contents) : undefined,
  };
}

function describe(
  { settings, layout, name }: Examined,
  { level, manifest, marker }: Admitted,
  { rules, promptFragments, skillsDir, settingsFragment, mcpConfig }: Contents,
  generation: string,
  warnings: string[],
): Plugin {
  const path = layout.live(name);
  const dataDir = settings.data(name);
  return {
    name,
    root: layout.root,
    path,
    level,
    manifest,
    marker,
    generation,
    rules,
    promptFragments,
    skillsDir,
    settingsFragment,
    mcpConfig: manifest?.file === 'plugin.json' ? mcpConfig : undefined,
    variables: variablesOf(manifest, path, dataDir),
    dataDir,
    warnings,
  };
}

/** All files that a plugin was read from; undefined if a change could leave their times as they are. */
function sourcesOf(live: string, stats: BigIntStats, facts: Facts, contents: Contents): Sources | undefined {
  const { marker, manifest, listing } = facts;
  if (marker.stats === undefined || manifest?.found.stats === undefined || contents.warnings.length > 0) {
    return undefined;
  }
  // A plugin.json that is added below an existing directory would take precedence over this SKILL.md.
  if (manifest.file === 'SKILL.md' && listing.has('.claude-plugin')) {
    return undefined;
  }
  // A plugin.json that is no manifest may become one.
  if (manifest.file !== 'plugin.yaml' && manifest.file !== 'plugin.json' && listing.has('plugin.json')) {
    return undefined;
  }
  const sources = new Map([
    [live, stats],
    [join(live, MARKER), marker.stats],
    [join(live, manifest.file), manifest.found.stats],
  ]);
  return contents.rulesStats === undefined ? sources : sources.set(join(live, 'rules'), contents.rulesStats);
}

/** Several callers get the same object, so none of them may change it. */
function freeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null) {
      freeze(part as object);
    }
  }
  return Object.freeze(value);
}
