/** What the power is cut from: the scenes before it, and the operations, up to their answer and the house-keeping. */
import { Install } from '../../agent/change/install.ts';
import type { InstallPolicy } from '../../agent/store/context.ts';
import { rollback } from '../../agent/change/rollback.ts';
import { uninstall } from '../../agent/change/uninstall.ts';
import type { BeginParams } from '../../shared/api/methods.ts';
import { NEW, SCENES } from './fault-scenes.ts';
import { FaultyDisk, type Rule } from './faulty-disk.ts';
import { type Room, bundleOf, deliver, faultOf, paramsOf, remove, through } from './install-room.ts';
import type { LosingDisk } from './losing-disk.ts';

export type Flow = {
  /** What is there before; all of it is durable. Undefined: nothing but an empty root. */
  scene: ((room: Room, disk: LosingDisk) => Promise<void>) | undefined;
  /** @param answered is called when whoever asked has the answer. */
  run: (room: Room, answered: () => void) => Promise<void>;
  policy?: Partial<InstallPolicy>;
  /** Which version may be live besides the one before and the one after: one that was swapped in and taken back. */
  between?: (room: Room) => Promise<void>;
};

const install =
  (bytes: Buffer, more: Partial<BeginParams> = {}): Flow['run'] =>
  async ({ context }, answered) => {
    const operation = new Install(context, paramsOf(bytes, more), 'tester');
    operation.begin();
    await operation.write(bytes);
    await operation.validate();
    operation.install();
    answered();
    operation.collect();
  };

const scene = (name: string): Flow['scene'] => SCENES[name];

const OLDER = bundleOf({ 'rules/old.md': 'old', 'hooks/a.sh': 'x' }, '1');

/** An update that is swapped in and cannot be read back, so that it is taken back. */
const takenBack: Flow['run'] = async (room) => {
  const faulty = new FaultyDisk(room.context.disk);
  const { layout } = room;
  let swapped = false;
  const rule: Rule = ({ kind, path, to }) => {
    swapped ||= to === layout.live('lint') && path.includes('.staging');
    return swapped && kind === 'read' && path.startsWith(layout.live('lint')) ? 'EIO' : undefined;
  };
  faulty.arm((call) => (call.kind === 'exchange' ? rule({ ...call, to: layout.live('lint') }) : rule(call)));
  await faultOf(() => deliver(through(room, faulty.disk), NEW));
};

async function baked(room: Room, disk: LosingDisk): Promise<void> {
  await deliver(room, OLDER);
  disk.lower(room.layout.live('lint'));
}

const rollingBack: Flow['run'] = async ({ context }, answered) => {
  const params = { operationId: 'operation-back', plugin: 'lint' };
  const { collect } = rollback(context, params, 'tester');
  answered();
  collect();
};

const removing: Flow['run'] = async ({ context }, answered) => {
  const params = { operationId: 'operation-away', plugin: 'lint' };
  const { collect } = uninstall(context, params, 'tester');
  answered();
  collect();
};

export const FLOWS: Record<string, Flow> = {
  'a rollback': { scene: scene('an update'), run: rollingBack },
  'a rollback of what was removed': {
    scene: async (room) => {
      await deliver(room, OLDER);
      remove(room);
    },
    run: rollingBack,
  },
  'a removal': { scene: scene('an update'), run: removing },
  'the first install of all': { scene: undefined, run: install(NEW) },
  'a first install': { scene: scene('a first install'), run: install(NEW) },
  'an update': { scene: scene('an update'), run: install(NEW) },
  'the same version again': {
    scene: async (room) => void (await deliver(room, NEW)),
    run: install(NEW, { force: true }),
  },
  'the replacing of what was half-copied': {
    scene: scene('the replacing of what was half-copied'),
    run: install(NEW),
  },
  'an update for another owner': {
    scene: scene('an update'),
    run: install(NEW),
    policy: { owner: { uid: 1234, gid: 4321 } },
  },
  'an update that is taken back': {
    scene: scene('an update'),
    run: takenBack,
    between: async (room) => void (await deliver(room, NEW)),
  },
};

/** Flows on an overlay, with what is live in its lower layer: no rename and no exchange moves it. */
export const OVERLAY_FLOWS: Record<string, Flow> = {
  'an update out of an image layer': { scene: baked, run: install(NEW) },
  'a rollback over an image layer': {
    scene: async (room, disk) => {
      await deliver(room, OLDER);
      await deliver(room, NEW);
      disk.lower(room.layout.live('lint'));
    },
    run: rollingBack,
  },
  'a removal out of an image layer': { scene: baked, run: removing },
};

/** What is installed last, to see that it goes on. */
export const NEXT = bundleOf({ 'rules/next.md': 'next' }, '4');
