/** What promises were seen broken with: rooms on the real disk, two versions, an operation that is stuck. */
import { renameSync } from 'node:fs';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { Install } from '../../agent/change/install.ts';
import { type Room, bundleOf, makeRoom, paramsOf } from './install-room.ts';

export const room = (policy = {}): Room => makeRoom(policy, nodeDisk);
export const v = (n: number): Buffer => bundleOf({ 'rules/a.md': `version ${n}` }, `${n}.0.0`);
export const DAY = 24 * 60 * 60 * 1000;

export async function upToAnswer({ context }: Room, bytes: Buffer): Promise<Install> {
  const install = new Install(context, paramsOf(bytes), 'tester');
  install.begin();
  await install.write(bytes);
  await install.validate();
  install.install();
  return install;
}

/** Row 12: an intent of an update, live away, nothing whole. */
export async function stuck(here: Room): Promise<string> {
  const install = new Install(here.context, paramsOf(v(2)), 'tester');
  const stamp = install.begin() as string;
  renameSync(here.layout.live('lint'), `${here.layout.root}/away`);
  return here.layout.intent('lint', stamp);
}
