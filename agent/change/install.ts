/**
 * An install, as the list of its steps: receive, stage, validate; then, alone in the plugin's lane, seal, snapshot and
 * swap, verify; and collect, which is house-keeping. Until the swap a failure leaves live untouched and staging empty;
 * a swap that fails is taken back in reverse.
 */
import type { InstallStep } from '../../shared/api/events.ts';
import { Fault, toFault } from '../../shared/api/fault.ts';
import type { Marker } from '../../shared/format/marker.ts';
import type { Reload } from '../../shared/rule/classify.ts';
import { type BeginParams, type Installed, installedSchema } from '../../shared/api/methods.ts';
import { truncate } from '../../shared/truncate.ts';
import { diskFault } from '../disk/disk-fault.ts';
import { type StagingBarrier, openBarrier } from './barrier.ts';
import { tidy } from '../store/snapshots.ts';
import { finish, undo } from './transaction.ts';
import type { StoreContext } from '../store/context.ts';
import { questionOf, recall, remember } from '../store/operation-log.ts';
import {
  amend,
  discardSlot,
  type Journal,
  liveVersionOf,
  newIntent,
  readyChanges,
  takeSlot,
  type Validated,
  writeIntent,
} from '../store/journal.ts';
import { askForRoom, checkBundle, findPresent, refuseUnwanted } from './preflight.ts';
import { type PlannedReload, foresee, standing } from './reload.ts';
import { markerOf, seal } from './seal.ts';
import { Stager } from './stage.ts';
import type { Move } from '../store/durable-rename.ts';
import { swap } from './swap.ts';
import { forgetRefused } from '../store/state.ts';
import { Unpacker } from '../archive/decompress.ts';
import { validate } from './validate.ts';
import { verifyLive } from './verify.ts';

const PROGRESS_BYTES = 1024 * 1024;

type Receiving = {
  journal: Journal;
  slot: string;
  stager: Stager;
  unpacker: Unpacker;
  barrier: StagingBarrier;
  begun: number;
  told: number;
};

/** One install, in one thread, from its first question to its answer. */
export class Install {
  readonly #context: StoreContext;
  readonly #params: BeginParams;
  readonly #by: string;
  #receiving: Receiving | undefined;
  #validated: Validated | undefined;

  /** @param by the label of who asks, for the marker. */
  constructor(context: StoreContext, params: BeginParams, by: string) {
    this.#context = context;
    this.#params = params;
    this.#by = by;
  }

  /**
   * Takes a slot and makes the intent durable, unless there is nothing to do.
   *
   * @returns the answer, if this operation has ended before or the tree is live and intact; else the slot's stamp.
   * @throws Fault CONFLICT, HELD, TOO_LARGE, NO_SPACE, READ_ONLY
   */
  begin(): Installed | string {
    try {
      return this.#begin();
    } catch (error) {
      this.abort();
      throw diskFault(error, `Beginning the install of "${this.#params.plugin}"`);
    }
  }

  #begin(): Installed | string {
    const { plugin, bundle, operationId } = this.#params;
    const before = recall(this.#context, operationId, questionOf(this.#params), installedSchema);
    if (before !== undefined) {
      return before;
    }
    refuseUnwanted(this.#context, this.#params);
    const present = findPresent(this.#context, this.#params);
    if (present !== undefined) {
      const reload = standing(this.#context, plugin, present.installId, present.list);
      const answer = answerOf('present', present, reload, []);
      this.#complete(answer);
      return answer;
    }
    askForRoom(this.#context, this.#params);
    const from = liveVersionOf(this.#context, plugin);
    const barrier = openBarrier(this.#context);
    const stamp = this.#slotWith(barrier, () => takeSlot(this.#context, plugin, bundle.sha256, from));
    const slot = this.#context.layout.slot(plugin, stamp);
    const journal: Journal = {
      intent: {
        ...newIntent(this.#context, { plugin, operationId, stamp, from }),
        bundle: `sha256:${bundle.sha256}`,
      },
    };
    const stager = new Stager(this.#context, slot, this.#params.links ?? 'skip', barrier.perFile);
    const unpacker = new Unpacker(
      (plain) => stager.write(plain),
      this.#context.policy.maxRatio,
      () => stager.ended,
    );
    this.#receiving = { journal, slot, stager, unpacker, barrier, begun: performance.now(), told: 0 };
    stager.begin();
    writeIntent(this.#context, journal.intent);
    this.#tellProgress('receive');
    return stamp;
  }

  #slotWith(barrier: StagingBarrier, take: () => string): string {
    try {
      return take();
    } catch (error) {
      this.#attempt('Closing the barrier', barrier.close);
      throw error;
    }
  }

  /** Takes bytes in: hashes, decompresses, parses and writes them. Never rejects; {@link validate} tells. */
  async write(bytes: Buffer): Promise<void> {
    const receiving = this.#current();
    await receiving.unpacker.write(bytes);
    if (receiving.unpacker.received - receiving.told >= PROGRESS_BYTES) {
      receiving.told = receiving.unpacker.received;
      this.#tellProgress('receive');
    }
  }

  /** The first thing that went wrong with the bytes so far; the upload need not go on where `LIMIT_*` or the disk. */
  get failure(): Fault | undefined {
    const failure = this.#receiving?.unpacker.failure;
    return failure === undefined ? undefined : this.#receiving?.stager.blame(failure);
  }

  /**
   * Ends the upload and looks at what was staged. On failure the slot is gone.
   *
   * @throws Fault DIGEST_MISMATCH, ARCHIVE_*, LIMIT_*, MANIFEST_*, RUNTIME_UNSUPPORTED, NO_SPACE, READ_ONLY
   */
  async validate(): Promise<void> {
    const { unpacker, stager, slot, begun } = this.#current();
    const { operationId, plugin } = this.#params;
    try {
      const sha256 = await unpacker.end();
      this.#tellProgress('receive', performance.now() - begun);
      checkBundle(this.#params, unpacker.received, sha256);
      if (unpacker.failure !== undefined) {
        throw stager.blame(unpacker.failure);
      }
      const staged = stager.end();
      this.#tellProgress('stage', stager.millis);
      this.#validated = this.#step('validate', () => validate(this.#context, slot, staged, this.#params));
      const { tree, files, bytes } = this.#validated;
      const data = { operationId, plugin, tree, files: files.length, bytes };
      this.#context.tell({ type: 'install.staged', data });
    } catch (error) {
      this.abort();
      throw diskFault(error, `Staging "${plugin}"`);
    }
  }

  /**
   * Seals, swaps and verifies, in the plugin's lane. When it returns, the new version is live, durable and read back.
   *
   * @throws Fault CONFLICT, HELD, MARKER_FAILED, SWAP_FAILED, ROLLBACK_FAILED, NO_SPACE, READ_ONLY
   */
  install(): Installed {
    const context = this.#context;
    const { plugin, operationId } = this.#params;
    const { journal, slot, barrier } = this.#current();
    const { stamp } = journal.intent;
    const tree = this.#validated;
    const moves: Move[] = [];
    let outlook: PlannedReload | undefined;
    try {
      if (tree === undefined) {
        throw new Fault('INTERNAL', `"${plugin}" was to be installed before it was validated`);
      }
      refuseUnwanted(context, { ...this.#params, tree: tree.tree });
      const from = liveVersionOf(context, plugin);
      const replaced = from?.installId ?? null;
      const marker = markerOf(
        context,
        {
          plugin,
          pluginVersion: tree.manifest?.version ?? '0.0.0',
          installId: stamp,
          bundle: `sha256:${this.#params.bundle.sha256}`,
          tree: tree.tree,
          source: this.#params.source,
          by: this.#by,
          replaced,
        },
        tree.files,
      );
      const next = { installId: stamp, files: tree.files, directory: slot };
      const restart = this.#params.restart !== false;
      outlook = foresee(context, { plugin, operationId, restart, from, next });
      const warnings = [...outlook.warnings, ...tree.warnings];
      const answer = answerOf('installed', marker, outlook.reload, warnings);
      const memory = { question: questionOf(this.#params), answer };
      this.#step('seal', () => {
        amend(context, journal, { ...readyChanges(context, from, tree), memory });
        seal(context, marker, { ...tree, directory: slot }, barrier);
      });
      this.#step('swap', () => swap(context, journal, moves));
      this.#step('verify', () => verifyLive(context, marker, tree.files));
      context.tell({ type: 'install.swapped', data: { operationId, plugin, installId: stamp, replaced } });
      outlook.settle();
      this.#complete(answer);
      return answer;
    } catch (error) {
      this.#receiving = undefined;
      this.#attempt('Closing the barrier', barrier.close);
      const code = moves.length > 0 ? 'SWAP_FAILED' : 'INTERNAL';
      throw undo(context, journal, moves, diskFault(error, `Installing "${plugin}"`, code), outlook);
    }
  }

  /** House-keeping after the answer. What fails is complained of, not thrown: the install stands. */
  collect(): void {
    const { journal, barrier } = this.#current();
    this.#step('collect', () => {
      this.#attempt('Closing the barrier', barrier.close);
      forgetRefused(this.#context, journal.intent);
      finish(this.#context, journal, () => tidy(this.#context, journal));
    });
  }

  /** Does what changes nothing for who asked: its failure is complained of, not thrown. */
  #attempt(doing: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#context.complain(toFault(error, doing));
    }
  }

  /** Gives up before the swap: removes the slot. What cannot be removed is complained of and left to recovery. */
  abort(): void {
    const receiving = this.#receiving;
    this.#receiving = undefined;
    if (receiving === undefined) {
      return;
    }
    const { unpacker, stager, journal, barrier } = receiving;
    unpacker.stop();
    this.#attempt('Closing the barrier', barrier.close);
    this.#attempt('Closing a staged file', () => stager.stop());
    this.#attempt('Removing the staging directory', () =>
      discardSlot(this.#context, journal.intent.plugin, journal.intent.stamp),
    );
  }

  /** The swap stands whether the answer can be remembered or not: asked again without it, the tree is present. */
  #complete(answer: Installed): void {
    const { operationId, plugin } = this.#params;
    const { status, installId, pluginVersion: version, by } = answer;
    const data = {
      operationId,
      plugin,
      status: status === 'present' ? status : 'installed',
      installId,
      version,
      by,
    } as const;
    this.#context.tell({ type: 'install.complete', data });
    this.#attempt('Remembering the answer', () =>
      remember(this.#context, this.#params.operationId, questionOf(this.#params), answer, answer.plugin),
    );
  }

  #current(): Receiving {
    if (this.#receiving === undefined) {
      throw new Fault('CONFLICT', `The install of "${this.#params.plugin}" has been given up`);
    }
    return this.#receiving;
  }

  /** Runs a step and tells how long it took. */
  #step<T>(step: InstallStep, run: () => T): T {
    const start = performance.now();
    const result = run();
    this.#tellProgress(step, performance.now() - start);
    return result;
  }

  #tellProgress(step: InstallStep, millis?: number): void {
    const { operationId, plugin, bundle } = this.#params;
    const received = this.#receiving?.unpacker.received ?? 0;
    const entries = this.#receiving?.stager.entries ?? 0;
    const data = { operationId, plugin, step, received, total: bundle.size, entries };
    const timed = millis === undefined ? data : { ...data, millis: Math.round(millis * 100) / 100 };
    this.#context.tell({ type: 'install.progress', data: timed });
  }
}

/** A receipt says more than an answer does: the schema keeps what belongs here. */
const answerOf = (
  status: 'installed' | 'present',
  said: Marker,
  reload: Reload,
  warnings: readonly string[],
): Installed =>
  installedSchema.parse({
    ...said,
    status,
    reload,
    warnings: truncate(warnings.map((warning) => warning.slice(0, 600))),
  });
