/**
 * The platform's side of Airlock: connects to a workspace, packs, pushes and lists plugins.
 *
 * @example
 * import { openSession, packDirectory, push } from 'airlock/client';
 *
 * const open = (signal) => openSession({ url: 'ws://10.0.0.7:7423', token, client: 'platform', signal });
 * const bundle = await packDirectory('./plugins/lint');
 * try {
 *   const { installId, reload } = await push(open, bundle, { restart: false });
 * } finally {
 *   await bundle.dispose();
 * }
 */
export type { Reload } from '../shared/rule/classify.ts';
export { Fault, type FaultCode, type FaultData, type Violation } from '../shared/api/fault.ts';
export type { Hello } from '../shared/api/session.ts';
export type { Installed, PluginInfo, Uninstalled, Verification } from '../shared/api/plugin.ts';
export {
  type AcceptOptions,
  acceptAgents,
  type Agents,
  type AgentSelection,
  type AgentRequestOptions,
  type DialledAgent,
} from './accept/accept-agents.ts';
export type { AgentResult, AgentRequestsOptions } from './accept/each.ts';
export { byToken } from './accept/tokens.ts';
export { type Bundle, openBundle } from './bundle.ts';
export { classify } from './classify.ts';
export { connect, type ConnectOptions, openSession, type Reach } from './connect.ts';
export type { AgentEvent, Position } from './feed.ts';
export type { DeltaResult } from './delta.ts';
export { exportPlugin, type Exported, type ExportOptions } from './export.ts';
export { follow, type FollowOptions } from './follow.ts';
export { type PluginHistory, readHistory } from './history.ts';
export { install, type InstallOptions } from './install.ts';
export { listPlugins, verifyPlugins } from './list.ts';
export { listDirectory, packDirectory, type Listed, type Packed, type PackOptions } from './pack/pack.ts';
export type { MarketplacePlugin } from './pack/marketplace.ts';
export {
  faultFindings,
  type PluginReport,
  validateDirectory,
  type ValidateOptions,
} from './pack/validate.ts';
export type { Skipped } from './pack/walk.ts';
export type { Finding, FindingId, Level } from '../shared/rule/plugin/finding.ts';
export { findPlugins, type FoundPlugin, type RefusedPlugin } from './plugins.ts';
export { type PluginPush, type PluginPushes, pushAll, type PushesOptions } from './push-all.ts';
export { planPush, type PushPlan } from './plan-push.ts';
export { newOperationId, push, type Pushed, type PushOptions } from './push.ts';
export {
  askReconcile,
  reconcile,
  reconcileAt,
  type ReconcileOptions,
  type ReconcileResult,
  type ReconcileTarget,
} from './reconcile.ts';
export type { Reconciled } from '../shared/api/reconcile.ts';
export { changeLock, readLock } from './lock-file.ts';
export { type Declared, withPlugin } from '../shared/format/lock-file.ts';
export { isNotReached } from './reach.ts';
export type { Session } from './session.ts';
export type { TlsOptions } from './upgrade.ts';
export { isZip } from './zip/unpack.ts';
export type { Progress } from './upload.ts';
