/** What a session can ask for: the work, without how it is done. */
import type { Basis, Reload } from '../../shared/rule/classify.ts';
import type { Fault } from '../../shared/api/fault.ts';
import type { ClassifyParams, Restarted, RestartedParams } from '../../shared/api/loading.ts';
import type {
  BeginParams,
  Hello,
  Installed,
  PluginInfo,
  Result,
  RollbackParams,
  Uninstalled,
  UninstallParams,
  Verification,
} from '../../shared/api/methods.ts';
import type { RecoveryResult, Status, Swept } from '../../shared/api/maintenance.ts';

/** An upload as a session sees it. */
export type Inflow = {
  accept(offset: number, data: Uint8Array, fin: boolean): void;
  detach(stream: Stream): void;
};

/** A stream of this connection that brings a bundle. */
export type Stream = {
  stream: number;
  grant(offset: number, limit: number): void;
  /** The stream is over; with a fault, it has failed and the sender is told. */
  drop(fault?: Fault): void;
};

export type Desk = {
  hello(): Hello;
  begin(params: BeginParams, by: string, link: (inflow: Inflow) => Stream): Promise<Result<'install.begin'>>;
  commit(operationId: string): Promise<Installed>;
  abort(operationId: string): boolean;
  list(): Promise<PluginInfo[]>;
  get(plugin: string): Promise<PluginInfo>;
  verify(plugin: string): Promise<Verification>;
  classify(params: ClassifyParams): Promise<Reload>;
  /** What is taken to be loaded of a plugin, which generation that is, and which names more are ignored here. */
  basis(plugin: string): Promise<{ basis: Basis; generation: string | null; ignore: readonly string[] }>;
  restarted(params: RestartedParams): Promise<Restarted>;
  rollback(params: RollbackParams, by: string): Promise<Installed>;
  uninstall(params: UninstallParams, by: string): Promise<Uninstalled>;
  /** @param plugin undefined for all. */
  recover(plugin: string | undefined): Promise<RecoveryResult>;
  sweep(): Promise<Swept>;
  status(): Promise<Status>;
  /** Work is about to come: what takes time to start can start now. */
  expectWork(): void;
};
