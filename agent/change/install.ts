/**
 * An install as a list of steps: receive, stage, validate; then, alone in the plugin's lane, seal, swap, verify; and
 * collect, which is house-keeping. A failure before the swap leaves live untouched and staging empty. A swap that fails
 * is undone in reverse.
 */
import { setImmediate } from 'node:timers/promises';

import type { InstallStep } from '../../shared/api/events.ts';
import { Fault } from '../../shared/api/fault.ts';
import { sentOf, withoutDelta } from '../../shared/api/install.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import { type Installed, installedSchema } from '../../shared/api/plugin.ts';
import type { Marker } from '../../shared/format/marker.ts';
import type { FileEntry } from '../../shared/format/tree.ts';
import { findingText } from '../../shared/rule/plugin/finding.ts';
import { truncate } from '../../shared/truncate.ts';
import { Unpacker } from '../archive/decompress.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { attempt, type StoreContext } from '../store/context.ts';
import { liveVersionOf } from '../store/marker.ts';
import { questionOf, rememberAnswer } from '../store/operation-log.ts';
import { forgetRefused } from '../store/state.ts';
import { Delta, refuseDelta } from './delta.ts';
import { openBarrier, type StagingBarrier } from './barrier.ts';
import { describeDisplaced } from './displaced.ts';
import { askForRoom, checkBundle, findPresent, refuseUnwanted } from './preflight.ts';
import { probeStaged } from './probe-command.ts';
import { standing } from './reload.ts';
import { markerOf } from './seal.ts';
import { Stager } from './stage.ts';
import { type Asked, askFirst, Transaction } from './transaction.ts';
import { validate, type Validated } from './validate.ts';

const PROGRESS_BYTES = 1024 * 1024;

type Receiving = {
  change: Transaction<Installed>;
  stager: Stager;
  unpacker: Unpacker;
  barrier: StagingBarrier;
  begun: number;
  told: number;
};

/** One install, in one thread, from its beginning to its answer. */
export class Install {
  readonly #context: StoreContext;
  readonly #params: BeginParams;
  readonly #by: string;
  readonly #asked: Asked<Installed>;
  #receiving: Receiving | undefined;
  #validated: Validated | undefined;
  readonly #interrupted = new AbortController();

  /**
   * @param by the label of the caller, for the marker. @param question the digest of the request, by which the same
   *   request is known again.
   */
  constructor(
    context: StoreContext,
    params: BeginParams,
    by: string,
    question = questionOf(withoutDelta(params)),
  ) {
    this.#context = context;
    this.#params = params;
    this.#by = by;
    this.#asked = {
      doing: `Installing "${params.plugin}"`,
      params,
      question,
      answer: installedSchema,
    };
  }

  /**
   * Makes a slot and a durable intent, unless there is nothing to do.
   *
   * @returns the answer, if this operation has ended before or the tree is live and intact; otherwise the stamp of the
   *   slot.
   * @throws Fault CONFLICT, HELD, TOO_LARGE, NO_SPACE, READ_ONLY
   */
  begin(): Installed | string {
    try {
      return this.#answered() ?? this.#begin();
    } catch (error) {
      this.abort();
      throw diskFault(error, `Beginning the install of "${this.#params.plugin}"`);
    }
  }

  /** The answer, if there is nothing to do. */
  #answered(): Installed | undefined {
    const before = askFirst(this.#context, this.#asked);
    const present = before === undefined ? findPresent(this.#context, this.#params) : undefined;
    if (present === undefined) {
      return before;
    }
    const reload = standing(this.#context, present.plugin, present.installId, present.list);
    // In a receipt this field is a list, which also names ignored files.
    const { skipped: _, warnings = NO_WARNINGS, ...marker } = present;
    const answer = answerOf('present', marker, { reload, warnings });
    this.#tellComplete(answer);
    rememberAnswer(this.#context, this.#asked, answer);
    return answer;
  }

  #begin(): string {
    const context = this.#context;
    const { plugin, bundle, links = 'copy', delta } = this.#params;
    askForRoom(context, this.#params);
    refuseDelta(context, this.#params);
    const from = liveVersionOf(context, plugin);
    const barrier = openBarrier(context);
    const change = this.#withSlot(barrier, () =>
      Transaction.begin(
        context,
        this.#asked,
        { op: 'install', bundle: `sha256:${bundle.sha256}`, from, by: this.#by },
        (step, millis) => step !== 'foresee' && this.#tellProgress(step, millis),
      ),
    );
    const taken = delta && new Delta(context, plugin, delta.base);
    const stager = new Stager(context, change.slot, links, barrier.perFile, taken);
    const unpacker = new Unpacker(
      (plain) => stager.write(plain),
      context.policy.maxRatio,
      () => stager.ended,
    );
    this.#receiving = { change, stager, unpacker, barrier, begun: performance.now(), told: 0 };
    stager.begin();
    this.#tellProgress('receive');
    return change.journal.intent.stamp;
  }

  #withSlot<T>(barrier: StagingBarrier, take: () => T): T {
    try {
      return take();
    } catch (error) {
      attempt(this.#context, 'Closing the barrier', barrier.close);
      throw error;
    }
  }

  /** Takes bytes: hashes, decompresses, parses and writes them. Never rejects; {@link validate} reports failures. */
  async write(bytes: Buffer): Promise<void> {
    const receiving = this.#current();
    await receiving.unpacker.write(bytes);
    if (receiving.unpacker.received - receiving.told >= PROGRESS_BYTES) {
      receiving.told = receiving.unpacker.received;
      this.#tellProgress('receive');
    }
  }

  /** The first failure of the bytes so far. After a `LIMIT_*` or an error of the disk the upload can stop. */
  get failure(): Fault | undefined {
    const failure = this.#receiving?.unpacker.failure;
    return failure === undefined ? undefined : this.#receiving?.stager.blame(failure);
  }

  /**
   * Ends the upload and validates the staged tree. On failure the slot is removed.
   *
   * @returns the directories of the tree.
   * @throws Fault DIGEST_MISMATCH, ARCHIVE_*, LIMIT_*, MANIFEST_*, RUNTIME_UNSUPPORTED, PROBE_FAILED, NO_SPACE,
   *   READ_ONLY
   */
  async validate(): Promise<readonly string[]> {
    const { unpacker, stager, change, begun } = this.#current();
    const { operationId, plugin } = this.#params;
    try {
      const sha256 = await unpacker.end();
      this.#tellProgress('receive', performance.now() - begun);
      checkBundle(this.#params, unpacker.received, sha256);
      if (unpacker.failure !== undefined) {
        throw stager.blame(unpacker.failure);
      }
      await stager.takeFiles(() => this.#rest());
      const staged = stager.end();
      this.#tellProgress('stage', stager.millis);
      this.#validated = change.step({
        name: 'validate',
        do: () => validate(this.#context, change.slot, staged, this.#params),
      });
      const { tree, files, bytes } = this.#validated;
      await this.#probe(change.slot, files);
      const data = { operationId, plugin, tree, files: files.length, bytes };
      this.#context.tell({ type: 'install.staged', data });
      return this.#validated.directories;
    } catch (error) {
      this.abort();
      throw diskFault(error, `Staging "${plugin}"`);
    }
  }

  /** Lets the owner's command test the staged tree. */
  async #probe(slot: string, files: readonly FileEntry[]): Promise<void> {
    const { probe } = this.#context.policy;
    if (probe !== undefined) {
      const staged = { plugin: this.#params.plugin, slot, files };
      await probeStaged(this.#context, probe, staged, this.#interrupted.signal);
    }
  }

  /** Lets the messages to this thread be read. @throws Fault CANCELLED if one of them is an abort. */
  async #rest(): Promise<void> {
    await setImmediate();
    if (this.#interrupted.signal.aborted) {
      throw new Fault('CANCELLED', `Installing "${this.#params.plugin}" was stopped`, { executed: 'no' });
    }
  }

  /** Ends the probe command or a long copy at once: an abort follows. */
  interrupt(): void {
    this.#interrupted.abort();
  }

  /**
   * Seals, swaps and verifies, in the plugin's lane. When it returns, the new version is live, durable and verified.
   *
   * @throws Fault CONFLICT, HELD, MARKER_FAILED, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
   */
  install(): Installed {
    const { change } = this.#current();
    const { operationId, plugin } = this.#params;
    try {
      const { marker, answer } = this.#replace(change);
      const { installId, replaced } = marker;
      const data = { operationId, plugin, installId, replaced };
      change.commit(answer, { type: 'install.swapped', data }, () => this.#tellComplete(answer));
      return answer;
    } catch (error) {
      this.#release();
      throw change.fail(error);
    }
  }

  #replace(change: Transaction<Installed>): { marker: Marker; answer: Installed } {
    const context = this.#context;
    const { plugin, bundle, source, restart, delta } = this.#params;
    const { barrier } = this.#current();
    const validated = this.#validated;
    if (validated === undefined) {
      throw new Fault('INTERNAL', `"${plugin}" cannot be installed before it is validated`);
    }
    const { tree, files, manifest } = validated;
    refuseUnwanted(context, { ...this.#params, tree });
    const from = liveVersionOf(context, plugin);
    const installId = change.journal.intent.stamp;
    const facts = {
      plugin,
      pluginVersion: manifest?.version ?? '0.0.0',
      installId,
      bundle: `sha256:${bundle.sha256}`,
      bundleUnread: delta && (true as const),
      tree,
      source,
      by: this.#by,
      replaced: from?.installId ?? null,
      skipped: validated.links,
    };
    const marker = markerOf(context, facts, files);
    const directory = change.slot;
    const planned = change.foresee(restart, from, { installId, files, directory });
    const displaced = describeDisplaced(context, plugin, from, { source, manifest });
    const own = validated.findings.map(findingText);
    const warnings = [...planned.warnings, ...displaced.warnings, ...own];
    const answer = answerOf('installed', marker, {
      reload: planned.reload,
      replacedVersion: displaced.version,
      warnings: cut(warnings),
    });
    const { skipped, bundleLinks } = validated;
    const about = { skipped, bundleLinks, ...keptWarnings(own) };
    change.replace({ marker, tree: { ...validated, directory, about }, barrier, from, answer });
    return { marker, answer };
  }

  /** House-keeping after the answer. A failure is reported, not thrown: the install is done. */
  collect(): void {
    const { change, barrier } = this.#current();
    attempt(this.#context, 'Closing the barrier', barrier.close);
    forgetRefused(this.#context, change.journal.intent);
    change.collect();
    this.#receiving = undefined;
  }

  /** Aborts before the swap: removes the slot. If that fails, the failure is reported and recovery removes it. */
  abort(): void {
    const change = this.#receiving?.change;
    this.#release();
    change?.takeBack(this.#givenUp());
  }

  /** Frees what receiving holds. Never throws. */
  #release(): void {
    const receiving = this.#receiving;
    this.#receiving = undefined;
    if (receiving === undefined) {
      return;
    }
    receiving.unpacker.stop();
    attempt(this.#context, 'Closing the barrier', receiving.barrier.close);
    attempt(this.#context, 'Closing a staged file', () => receiving.stager.stop());
  }

  #tellComplete(answer: Installed): void {
    const { operationId, plugin } = this.#params;
    const { installId, pluginVersion: version, by } = answer;
    const status = answer.status === 'present' ? answer.status : 'installed';
    const data = { operationId, plugin, status, installId, version, by } as const;
    this.#context.tell({ type: 'install.complete', data });
  }

  #current(): Receiving {
    if (this.#receiving === undefined) {
      throw this.#givenUp();
    }
    return this.#receiving;
  }

  #givenUp(): Fault {
    return new Fault('CONFLICT', `The install of "${this.#params.plugin}" has been given up`);
  }

  #tellProgress(step: InstallStep, millis?: number): void {
    const { operationId, plugin } = this.#params;
    const received = this.#receiving?.unpacker.received ?? 0;
    const entries = this.#receiving?.stager.entries ?? 0;
    const data = { operationId, plugin, step, received, total: sentOf(this.#params).size, entries };
    const timed = millis === undefined ? data : { ...data, millis: Math.round(millis * 100) / 100 };
    this.#context.tell({ type: 'install.progress', data: timed });
  }
}

type Warnings = Installed['warnings'];

const NO_WARNINGS: Warnings = { items: [], total: 0 };

const cut = (warnings: readonly string[]): Warnings =>
  truncate(warnings.map((warning) => warning.slice(0, 600)));

/** The warnings that are said again when the bundle is sent again. */
const keptWarnings = (warnings: readonly string[]): { warnings?: Warnings } =>
  warnings.length === 0 ? {} : { warnings: cut(warnings) };

/** A receipt has more fields than an answer. The schema keeps those of the answer. */
const answerOf = (
  status: 'installed' | 'present',
  said: Marker,
  more: Pick<Installed, 'reload' | 'replacedVersion' | 'warnings'>,
): Installed => installedSchema.parse({ ...said, status, ...more });
