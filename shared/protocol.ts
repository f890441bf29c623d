/** The protocol and the shapes on the disk, for whoever speaks `airlock.v1` or reads an Airlock root. */
export * from './classify.ts';
export * from './events.ts';
export * from './fault.ts';
export * from './frame.ts';
export * from './intent.ts';
export * from './loaded.ts';
export * from './loading.ts';
export * from './manifest.ts';
export * from './marker.ts';
export * from './methods.ts';
export * from './name.ts';
export * from './receipt.ts';
export * from './rpc.ts';
export * from './state.ts';
export * from './tree.ts';
