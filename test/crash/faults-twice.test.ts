import { describe, expect, it } from 'vitest';

import { stateOf } from '../../agent/store/records.ts';
import { Fault } from '../../shared/api/fault.ts';
import { intentSchema } from '../../shared/format/intent.ts';
import { readMarker } from '../../shared/format/marker.ts';
import {
  DISKS,
  type OnDisk,
  type Run,
  SCENES,
  part,
  runScene,
  sweep,
  without,
} from '../_kit/fault-scenes.ts';
import { type Rule, crashAt, failFrom, failOnce, never } from '../_kit/faulty-disk.ts';
import { contentOf, namesIn, photograph } from '../_kit/install-room.ts';
import { file, gzip, tar } from '../_kit/tar-builder.ts';

const memory = DISKS['the memory disk'] as OnDisk;
const perfect = (scene: string): Promise<Run> => memory((disk, root) => runScene(scene, disk, root, never));

/** What is live: the version before, the new one, or nothing at all. Anything else fails the test. */
function liveOf(run: Run, good: Run): 'before' | 'new' | 'absent' {
  const live = JSON.stringify(part(run.after, 'lint'));
  const found = {
    before: JSON.stringify(part(run.before, 'lint')),
    new: JSON.stringify(part(good.after, 'lint')),
    absent: '{}',
  };
  const is = (['before', 'new', 'absent'] as const).find((name) => found[name] === live);
  if (is === undefined) {
    throw new Error(`What is live is neither old nor new: ${live}`);
  }
  return is;
}

/** Where live is absent between two renames: both trees are whole, and the intent says what was going on. */
function checkGap({ room, before, after }: Run): void {
  const { layout, context } = room;
  const intentName = namesIn(room, layout.staging).find((name) => /^lint\..*\.json$/.test(name));
  const intent = intentSchema.parse(JSON.parse(contentOf(context.disk, `${layout.staging}/${intentName}`)));
  const slot = layout.slot('lint', intent.stamp);
  const marker = readMarker(contentOf(context.disk, `${slot}/.complete`));
  expect(marker.kind === 'full' ? marker.marker.installId : undefined).toBe(intent.stamp);
  expect(intent.tree).toBe(marker.kind === 'full' ? marker.marker.tree : undefined);
  const snapshot = Object.entries(part(after, `.previous/lint.${intent.stamp}`)).map(([, what]) => what);
  expect(snapshot).toEqual(Object.values(part(before, 'lint')));
}

describe.each(Object.keys(SCENES))('%s that is killed at any call', (scene) => {
  it('leaves the old version or the new one, or, between its two renames, both beside the place', async () => {
    const good = await perfect(scene);
    const seen = { before: 0, new: 0, absent: 0 };
    const points = await sweep(memory, scene, crashAt, (run) => {
      const live = liveOf(run, good);
      seen[live] += 1;
      if (live === 'absent' && scene !== 'a first install') {
        checkGap(run);
      }
      expect(run.judged.after).toBe({ before: run.judged.before, new: 'admitted', absent: 'absent' }[live]);
      if (run.answer !== undefined) {
        expect(live).toBe('new');
      } else {
        expect(run.error).toBeInstanceOf(Fault);
      }
    });
    expect(points).toBeGreaterThan(100);
    expect(seen.new).toBeGreaterThan(20);
    // The gap is a few calls wide: a rename and the syncs of its two parents.
    const gap = scene === 'a first install' ? 0 : seen.absent;
    expect(gap).toBeLessThanOrEqual(10);
  });
});

describe.each(Object.keys(SCENES))('on a disk that from some call on %s', (scene) => {
  it('takes no more syncs, live never goes away', async () => {
    const good = await perfect(scene);
    let troubled = 0;
    await sweep(
      memory,
      scene,
      (n) => failFrom(n, 'EIO', ['sync']),
      (run) => {
        const live = liveOf(run, good);
        expect(live).toBe(run.answer === undefined ? liveOf({ ...run, after: run.before }, good) : 'new');
        if (run.error instanceof Fault && run.error.code === 'ROLLBACK_FAILED') {
          troubled += 1;
          // What may come back after a power cut must still be whole then: nothing is removed.
          expect(run.litter.some((name) => /^lint\.[^.]+$/.test(name))).toBe(true);
        }
      },
    );
    expect(troubled).toBeGreaterThan(0);
  });

  it('is full, nothing changes and no litter stays, or the new version is whole', async () => {
    const good = await perfect(scene);
    await sweep(
      memory,
      scene,
      (n) => failFrom(n, 'ENOSPC', ['create', 'mkdir', 'write']),
      (run) => {
        if (run.answer === undefined) {
          expect(run.after).toEqual(run.before);
          expect((run.error as Fault).code).toBe('NO_SPACE');
        } else {
          expect(liveOf(run, good)).toBe('new');
          expect(run.litter).toEqual([]);
        }
      },
    );
  });

  it('takes no more descriptors, the judge never refuses what it admitted', async () => {
    const good = await perfect(scene);
    await sweep(
      memory,
      scene,
      (n) => failFrom(n, 'EMFILE', ['open', 'create']),
      (run) => {
        expect(liveOf(run, good)).toBe(
          run.answer === undefined ? liveOf({ ...run, after: run.before }, good) : 'new',
        );
      },
    );
  });
});

describe('cleaning up that fails itself', () => {
  const REFUSED = gzip(tar(file('package/rules/a.md', 'x'), file('package/rules/b.md', 'y')));

  it.each(Object.keys(SCENES))(
    'after a refusal leaves %s untouched, and litter in staging only',
    async (scene) => {
      const littering: string[] = [];
      const points = await sweep(
        memory,
        scene,
        (n) => failOnce(n, 'EIO'),
        (run, what) => {
          expect(run.error).toBeInstanceOf(Fault);
          expect(without(run.after, '.staging')).toEqual(without(run.before, '.staging'));
          expect(run.judged.after).toBe(run.judged.before);
          if (run.litter.length > 0) {
            littering.push(what);
            expect(run.room.complaints).not.toEqual([]);
            expect(run.litter.filter((name) => !/^lint\.[^.]+(\.trash|\.json)?$/.test(name))).toEqual([]);
          }
        },
        REFUSED,
      );
      expect(points).toBeGreaterThan(50);
      expect(littering).toContain('rename .staging/lint.S');
      expect(littering.filter((what) => !/^\w+ \.(staging|receipts)/.test(what))).toEqual([]);
    },
  );

  it('after a swap was taken back is complained of, and the first failure is answered', async () => {
    const good = await perfect('an update');
    let taken = 0;
    for (let n = 1; n < 60; n += 1) {
      await memory(async (disk, root) => {
        let swapped = 0;
        const rule: Rule = ({ kind, to, path, n: at }) => {
          if (kind === 'rename' && to === `${root}/lint` && path.includes('.staging')) {
            swapped = at;
          }
          // The first call on the new live place fails: it cannot be read back. Then one more.
          return swapped > 0 && (at === swapped + 7 || at === swapped + 7 + n) ? 'EIO' : undefined;
        };
        const run = await runScene('an update', disk, root, rule);
        const live = liveOf(run, good);
        expect(run.error).toBeInstanceOf(Fault);
        expect(run.judged.after).not.toMatch(/marker|manifest|unreadable/);
        const { code } = run.error as Fault;
        if (code === 'ROLLBACK_FAILED') {
          expect(stateOf(run.room.context, 'lint')?.trouble).toBeDefined();
        } else {
          expect([live, code]).toEqual(['before', 'SWAP_FAILED']);
          taken += 1;
          expect(run.litter.length === 0 || run.room.complaints.length > 0).toBe(true);
        }
      });
    }
    expect(taken).toBeGreaterThan(30);
  });
});

describe('a swap whose second rename fails and cannot be taken back', () => {
  it.each(Object.keys(DISKS).filter((name) => !name.includes('exchange')))(
    'carries both errors and leaves word for the operator (on %s)',
    async (name) => {
      await DISKS[name]?.(async (disk, root) => {
        const rule: Rule = ({ kind, path, to }) => {
          if (kind === 'rename' && to === `${root}/lint`) {
            return path.includes('.staging') ? 'EBUSY' : 'EIO';
          }
          return undefined;
        };
        const run = await runScene('an update', disk, root, rule);
        const { room, error } = run;
        const fault = error as Fault;
        expect([fault.code, fault.executed, fault.retry]).toEqual(['ROLLBACK_FAILED', 'maybe', 'never']);
        expect(fault.message).toMatch(/EBUSY.*EIO/);
        const causes = (fault.cause as AggregateError).errors as Error[];
        expect(causes.map((cause) => (cause instanceof Fault ? cause.code : cause.message))).toEqual([
          'SWAP_FAILED',
          expect.stringContaining('EIO'),
        ]);
        const trouble = stateOf(room.context, 'lint')?.trouble;
        expect(trouble).toMatchObject({ at: '2026-05-08T14:15:30.123Z', what: fault.message });
        // Both trees are whole, where the note says that they are.
        const names = namesIn(room, room.layout.staging);
        const stamp = names.find((entry) => !entry.endsWith('.json'))?.replace('lint.', '') ?? '';
        const [slot, snapshot] = [room.layout.slot('lint', stamp), room.layout.snapshot('lint', stamp)];
        expect([slot, snapshot].every((place) => trouble?.todo.includes(place))).toBe(true);
        expect(run.judged.after).toBe('absent');
        const intent: unknown = JSON.parse(contentOf(disk, room.layout.intent('lint', stamp)));
        expect(intentSchema.parse(intent).goal).toBe('back');
        // The operator does what the note says.
        disk.rename(snapshot, room.layout.live('lint'));
        expect(part(photograph(disk, root), 'lint')).toEqual(part(run.before, 'lint'));
      });
    },
  );

  it('keeps what the state said before, and holds the plugin if nobody can say what that was', async () => {
    for (const [text, held] of [
      ['{"version":1,"disabled":true,"mine":7}', undefined],
      ['{"version":', expect.stringContaining('could not be read') as string],
    ] as const) {
      await memory(async (disk, root) => {
        let armed = false;
        const rule: Rule = ({ kind, to }) => {
          if (kind === 'rename' && to.startsWith(`${root}/.previous/`)) {
            // Written only now, for a state that cannot be read refuses the install before.
            const fd = armed ? undefined : disk.create(`${root}/.state/lint.json`, 0o644);
            if (fd !== undefined) {
              disk.write(fd, Buffer.from(text));
              disk.close(fd);
            }
            armed = true;
          }
          return kind === 'rename' && to === `${root}/lint` ? 'EIO' : undefined;
        };
        const run = await runScene('an update', disk, root, rule);
        const state = stateOf(run.room.context, 'lint');
        expect([state?.held, state?.trouble === undefined]).toEqual([held, false]);
        if (held === undefined) {
          expect(state).toMatchObject({ disabled: true, mine: 7 });
        }
      });
    }
  });
});
