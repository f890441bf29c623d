/** Engine threads of which the test plays every word, and the surroundings in which uploads meet them. */
import type { Link, Timeouts, UploadDependencies } from '../../agent/service/upload.ts';
import type { Failure } from '../../agent/service/failure-notes.ts';
import { Lanes } from '../../shared/lanes.ts';
import type { Engine, Listener } from '../../agent/worker/pool.ts';
import type { FromEngine, ToEngine } from '../../agent/worker/messages.ts';
import type { EventBody } from '../../shared/api/events.ts';
import { Fault, type FaultCode } from '../../shared/api/fault.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import type { Installed } from '../../shared/api/plugin.ts';
import { FakeClock } from './clock.ts';

export const STAMP = '20260508T141530123Z-9f86d081';
export const TIMEOUTS: Timeouts = { stall: 30_000, resume: 60_000, deadline: 300_000, lock: 30_000 };

/** Lets everything that waits for a settled promise run. */
export const settle = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

export function paramsOf(changes: Partial<BeginParams> = {}): BeginParams {
  return {
    operationId: 'operation-1',
    plugin: 'lint',
    bundle: { size: 100, sha256: 'a'.repeat(64) },
    ...changes,
  };
}

export function answerOf(status: Installed['status'] = 'installed', installId = STAMP): Installed {
  return {
    plugin: 'lint',
    pluginVersion: '1.0.0',
    installId,
    bundle: `sha256:${'a'.repeat(64)}`,
    tree: `sha256:${'b'.repeat(64)}`,
    files: 2,
    bytes: 100,
    installedAt: '2026-05-08T14:15:30.123Z',
    by: 'test',
    replaced: null,
    status,
    reload: { kind: 'cold', action: 'restart', restarting: false, reasons: { items: [], total: 0 } },
    warnings: { items: [], total: 0 },
  };
}

export class ScriptedEngine implements Engine {
  readonly said: ToEngine[] = [];
  released = false;
  readonly #listener: Listener;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  say(message: ToEngine): void {
    this.said.push(message);
  }

  release(): void {
    this.released = true;
  }

  /** What it was told, in words. */
  get heard(): string {
    return this.said.map(({ kind }) => kind).join(' ');
  }

  /** Says something to the agent. */
  tell(...messages: FromEngine[]): void {
    for (const message of messages) {
      this.#listener.message(message);
    }
  }

  open(stamp = STAMP): void {
    this.tell({ kind: 'opened', stamp });
  }

  take(offset: number, code?: FaultCode): void {
    const fault = code === undefined ? undefined : new Fault(code, 'As the test says').toData();
    this.tell({ kind: 'taken', offset, fault });
  }

  installed(answer = answerOf()): void {
    this.tell({ kind: 'installed', answer });
  }

  fail(code: FaultCode): void {
    this.tell({ kind: 'failed', fault: new Fault(code, 'As the test says').toData(), stack: undefined });
    this.done();
  }

  done(): void {
    this.tell({ kind: 'done' });
  }

  crash(): void {
    this.#listener.crash(new Fault('INTERNAL', 'An engine thread crashed', { executed: 'maybe' }));
  }
}

/** Leases as many engines as are asked for. */
export class ScriptedPool {
  readonly engines: ScriptedEngine[] = [];
  /** The lease fails with this. */
  refusal: Fault | undefined;
  /** Leases wait for this. */
  gate: Promise<void> = Promise.resolve();

  async lease(listener: Listener): Promise<Engine> {
    await this.gate;
    if (this.refusal !== undefined) {
      throw this.refusal;
    }
    const engine = new ScriptedEngine(listener);
    this.engines.push(engine);
    return engine;
  }

  /** The engine of the n-th lease, or the newest. */
  at(n = this.engines.length - 1): ScriptedEngine {
    const engine = this.engines[n];
    if (engine === undefined) {
      throw new Error(`Only ${this.engines.length} engines were leased`);
    }
    return engine;
  }
}

export type Stage = {
  dependencies: UploadDependencies;
  pool: ScriptedPool;
  clock: FakeClock;
  events: EventBody[];
  complaints: Fault[];
  /** What the history is told of. */
  failed: Failure[];
};

export function makeStage(timeouts: Partial<Timeouts> = {}): Stage {
  const pool = new ScriptedPool();
  const clock = new FakeClock();
  const events: EventBody[] = [];
  const complaints: Fault[] = [];
  const failed: Failure[] = [];
  const dependencies: UploadDependencies = {
    pool,
    lanes: new Lanes(),
    pluginLocks: { hold: () => Promise.resolve(() => Promise.resolve()) },
    clock,
    timeouts: { ...TIMEOUTS, ...timeouts },
    swapping: () => undefined,
    tell: (event) => events.push(event),
    failed: (one) => failed.push(one),
    complain: (fault) => complaints.push(fault),
  };
  return { dependencies, pool, clock, events, complaints, failed };
}

/** A link that keeps what it was told. */
export class RecordingLink implements Link {
  readonly stream: number;
  readonly grants: [offset: number, limit: number][] = [];
  readonly drops: (Fault | undefined)[] = [];

  constructor(stream = 1) {
    this.stream = stream;
  }

  grant(offset: number, limit: number): void {
    this.grants.push([offset, limit]);
  }

  drop(fault?: Fault): void {
    this.drops.push(fault);
  }
}
