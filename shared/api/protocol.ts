/** The protocol and the formats on the disk, for programs that speak `airlock.v1` or read an Airlock root. */
export * from '../rule/classify.ts';
export * from './events.ts';
export * from './fault.ts';
export * from './frame.ts';
export * from '../format/intent.ts';
export * from '../format/loaded.ts';
export * from './runtime.ts';
export * from '../format/manifest.ts';
export * from '../format/marker.ts';
export * from './methods.ts';
export * from '../format/name.ts';
export * from '../format/receipt.ts';
export * from './rpc.ts';
export * from '../format/state.ts';
export * from '../format/tree.ts';
