/** The answer to a change is cut off; asked again by its id, the change gives that answer, and is made once. */
import { expect, it, onTestFinished } from 'vitest';

import { openSession } from '../../client/connect.ts';
import type { Session } from '../../client/session.ts';
import { TOKEN, type TestAgent, startTestAgent } from '../_kit/agent.ts';
import { beginOf, packPlugin, push } from '../_kit/bundle.ts';
import { Cable } from '../_kit/cable.ts';
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
