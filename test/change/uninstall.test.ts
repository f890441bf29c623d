import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { bundleOf, deliver, faultOf, makeRoom, namesIn, remove } from '../_kit/install-room.ts';

it('removes what is live; it is kept, and so is its data', async () => {
  const room = makeRoom();
  const { installId } = await deliver(room, bundleOf());
  mkdirSync(room.layout.data('lint'), { recursive: true });
  expect(remove(room)).toMatchObject({
    status: 'removed',
    installId,
    purged: false,
    reload: { kind: 'cold', action: 'restart', restarting: true },
  });
  expect(existsSync(room.layout.live('lint'))).toBe(false);
  expect(namesIn(room, room.layout.previous)).toHaveLength(1);
  expect(namesIn(room, room.layout.receipts)).toEqual([`lint.${installId}.json`]);
  expect([namesIn(room, room.layout.staging), room.complaints]).toEqual([[], []]);
  expect(existsSync(room.layout.data('lint'))).toBe(true);
  expect(room.events).toContainEqual(expect.objectContaining({ type: 'plugin.removed' }));
});

it('removes what was never marked, and says so', () => {
  const room = makeRoom();
  mkdirSync(room.layout.live('lint'));
  writeFileSync(join(room.layout.live('lint'), 'mine'), 'x');
  expect(remove(room)).toMatchObject({ status: 'removed', installId: null });
  expect(namesIn(room, room.layout.previous)).toHaveLength(1);
});

it('of what is not there changes nothing; asked to, it still purges the data', () => {
  const room = makeRoom();
  mkdirSync(room.layout.data('lint'), { recursive: true });
  mkdirSync(room.layout.data('other'), { recursive: true });
  expect(remove(room)).toMatchObject({ status: 'absent', purged: false, reload: { action: 'none' } });
  expect(remove(room, { purge: true })).toMatchObject({ status: 'absent', purged: true });
  expect([existsSync(room.layout.data('lint')), existsSync(room.layout.data('other'))]).toEqual([
    false,
    true,
  ]);
  expect(room.events).toEqual([]);
});

it('asked again, gives the same answer and removes nothing that came since', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf());
  const first = remove(room, { operationId: 'same' });
  await deliver(room, bundleOf({ a: 'b' }));
  expect(remove(room, { operationId: 'same' })).toEqual(first);
  expect(existsSync(room.layout.live('lint'))).toBe(true);
  expect((await faultOf(() => remove(room, { operationId: 'same', purge: true }))).code).toBe('CONFLICT');
});

it('heeds what is expected and what is held', async () => {
  const room = makeRoom();
  await deliver(room, bundleOf());
  expect((await faultOf(() => remove(room, { expect: { installId: null } }))).code).toBe('CONFLICT');
  writeFileSync(room.layout.stateOf('lint'), '{"version":1,"held":"wait"}');
  expect((await faultOf(() => remove(room))).code).toBe('HELD');
  expect(remove(room, { force: true, restart: false }).reload.restarting).toBe(false);
});

it('names what the plugin had, in the answer and in the event, and on a second request', async () => {
  const room = makeRoom();
  const files = {
    'plugin.yaml': 'name: lint\nversion: 1.0.0\nhooks: [check, ./bin/run.sh, not-there]\n',
    'skills/review/SKILL.md': '',
    'skills/review/notes.md': '',
    'skills/commit/SKILL.md': '',
    'rules/b.md': '',
    'rules/a.md': '',
    'rules/deeper/c.md': '',
    'rules/.hidden.md': '',
    'rules/note.txt': '',
    'hooks/check.sh': '',
    'hooks/README.md': '',
    'bin/run.sh': '',
    '__pycache__/hooks/x.sh': '',
  };
  const { installId } = await deliver(room, bundleOf(files));
  const had = {
    skills: { items: ['commit', 'review'], total: 2 },
    rules: { items: ['rules/a.md', 'rules/b.md'], total: 2 },
    hooks: { items: ['bin/run.sh', 'hooks/check.sh'], total: 2 },
  };
  const answer = remove(room, { operationId: 'same' });
  expect(answer).toMatchObject(had);
  expect(remove(room, { operationId: 'same' })).toEqual(answer);
  const event = room.events.find(({ type }) => type === 'plugin.removed');
  expect(event?.data).toEqual({ operationId: 'same', plugin: 'lint', installId, by: 'tester', ...had });
  expect(remove(room)).not.toHaveProperty('skills');
});

it('names as many as an answer can hold, and counts all', async () => {
  const room = makeRoom();
  const many = Array.from({ length: 150 }, (_, i): [string, string] => [`rules/${i}.md`, '']);
  await deliver(room, bundleOf(Object.fromEntries([...many, ['SKILL.md', '---\nname: lint\n---\n']])));
  const { rules, skills } = remove(room);
  expect([rules?.items.length, rules?.total, skills?.items]).toEqual([100, 150, ['lint']]);
});
