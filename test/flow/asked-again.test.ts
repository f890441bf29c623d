/** The answer to a change is cut off; asked again by its id, the change gives that answer, and is made once. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { openSession } from '../../client/connect.ts';
import { push as pushBundle } from '../../client/push.ts';
import type { Session } from '../../client/session.ts';
import { TOKEN, type TestAgent, scratch, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin, push } from '../_kit/bundle.ts';
import { Cable } from '../_kit/cable.ts';
import { runHere } from '../_kit/program.ts';
import { type Said, lookAt, saidBy, untruths } from '../_kit/truth.ts';
import { Wire } from '../_kit/wire.ts';

const open = (cable: Cable): Promise<Session> =>
  openSession({ url: cable.url, token: TOKEN, client: 'test' });

/** A cable that is cut so many bytes into the first answer after the start of the session. */
async function cutAnswer(agent: TestAgent, bytes: number): Promise<Cable> {
  const whole = await Cable.lay(agent.port);
  const session = await open(whole);
  const head = whole.passages[0]?.down ?? 0;
  await session.close();
  whole.close();
  const cable = await Cable.lay(agent.port, { cuts: [{ way: 'down', bytes: head + bytes, how: 'reset' }] });
  onTestFinished(() => cable.close());
  return cable;
}

it.each<[string, object, string | undefined]>([
  ['plugin.rollback', { plugin: 'lint' }, 'install.rolled-back'],
  ['plugin.uninstall', { plugin: 'lint' }, 'plugin.removed'],
  ['plugin.hold', { plugin: 'lint', why: 'a look at it' }, undefined],
  ['plugin.disable', { plugin: 'lint', disabled: true }, undefined],
  ['recover', {}, undefined],
  ['sweep', {}, 'sweep.done'],
])('%s', async (method, params, event) => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  for (const version of ['1.0.0', '2.0.0']) {
    const bundle = await packPlugin('lint', version);
    await push(wire, beginOf('lint', bundle), bundle);
  }
  const cable = await cutAnswer(agent, 30);
  const root = agent.layout.live('.');
  const before = await lookAt(root, 'lint');
  const events = (): number => wire.events.filter(({ type }) => type === event).length;
  const told = events();
  const ask = async (): Promise<Said> => {
    const session = await open(cable);
    const asked = { operationId: `asked-${method.replace('.', '-')}`, ...params };
    const said = await saidBy(session.call(method as 'plugin.hold', asked as never));
    await session.close();
    return said;
  };
  expect(await ask()).toMatchObject({ fault: { code: 'UNREACHABLE', retry: 'same', executed: 'maybe' } });
  const again = await ask();
  expect(again).toHaveProperty('answer');
  expect(untruths(before, await lookAt(root, 'lint'), again)).toEqual([]);
  expect(await ask()).toEqual(again);
  if (event !== undefined) expect(events()).toBe(told + 1);
  const session = await open(cable);
  const changed = { operationId: `asked-${method.replace('.', '-')}`, plugin: 'other' };
  const other = await saidBy(session.call(method as 'plugin.hold', changed));
  await session.close();
  expect(other).toMatchObject({ fault: { executed: 'no' } });
  // What another process asks with the same id after a restart is answered alike.
  await agent.close();
  const next = await startTestAgent({ root });
  cable.lead(next.port);
  expect(await ask()).toEqual(again);
});

it('a command whose answer is cut off says with which id to run it again', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const bundle = await packPlugin('lint', '1.0.0');
  await push(wire, beginOf('lint', bundle), bundle);
  const cable = await cutAnswer(agent, 30);
  const words = ['uninstall', 'lint', '--to', cable.url, '--json'];
  const first = await runHere(words, { AIRLOCK_TOKEN: TOKEN });
  expect(first.code).toBe(3);
  const { error } = JSON.parse(first.stdout) as { error: { executed: string; hint: string } };
  expect(error.executed).toBe('maybe');
  const [, id = ''] = /--operation (\S+):/.exec(error.hint) ?? [];
  const again = await runHere([...words, '--operation', id], { AIRLOCK_TOKEN: TOKEN });
  expect([again.code, JSON.parse(again.stdout)]).toMatchObject([0, { status: 'removed', plugin: 'lint' }]);
});

// Was a bug: whoever had sent all of its bytes, and was taken over from, was told that bytes are missing.
it.each([300_000, 2_500_000])(
  'two that push the same operation at once have one answer: %d bytes',
  async (size) => {
    const agent = await startTestAgent();
    const cable = await Cable.lay(agent.port, { pieceBytes: 30_000, delayMillis: 1 });
    onTestFinished(() => cable.close());
    const packed = await packPlugin('lint', '1.0.0', size);
    const file = join(await scratch(), 'lint.tgz');
    await writeFile(file, packed.bytes);
    const bundle = { plugin: 'lint', file, size: packed.size, sha256: packed.sha256 };
    const root = agent.layout.live('.');
    const before = await lookAt(root, 'lint');
    // Whoever was taken over from asks soon what has become of it.
    const options = { operationId: 'operation-of-two', stallMillis: 300 };
    const both = [0, 1].map(() => saidBy(pushBundle(() => open(cable), bundle, options)));
    const [one, other] = await Promise.all(both);
    expect(one).toMatchObject({ answer: { status: 'installed' } });
    expect(other).toEqual(one);
    expect(untruths(before, await lookAt(root, 'lint'), one as Said)).toEqual([]);
  },
);
