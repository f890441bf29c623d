/** The protocol and the shapes on the disk, for whoever speaks `airlock.v1` or reads an Airlock root. */
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
