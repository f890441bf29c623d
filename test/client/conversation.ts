/** A session with a fake agent, for the tests of what is said over it. */
import { afterEach } from 'vitest';

import { openSession } from '../../client/connect.ts';
import type { AgentEvent } from '../../client/feed.ts';
import type { Session } from '../../client/session.ts';
import { Fault } from '../../shared/api/fault.ts';
import type { Clock } from '../../shared/clock.ts';
import type { PluginInfo } from '../../shared/api/plugin.ts';
import { type Behaviour, type FakeAgent, fakeAgent, type Peer } from './fake-agent.ts';

/** The fake agent and the session with it: new for every test. */
export let agent: FakeAgent;
export let session: Session;

/** A file calls this once: hooks that a module sets as it is loaded count for the first file of a worker only. */
export function endsConversations(): void {
  afterEach(async () => {
    await session.close();
    await agent.close();
  });
}

export async function start(
  behaviour: Behaviour = {},
  options: { clock?: Clock; events?: 'all'; onEvent?: (event: AgentEvent) => void } = {},
): Promise<void> {
  agent = await fakeAgent(behaviour);
  session = await openSession({ url: agent.url, client: 'test', ...options });
}

export const plugin = (name: string): PluginInfo => ({
  name,
  status: 'admitted',
  level: 'verified',
  version: '1.0.0',
});
export const peer = (): Peer => {
  const [first] = agent.peers;
  if (first === undefined) throw new Error('nobody has connected');
  return first;
};
export const fault = (promise: Promise<unknown>): Promise<Fault> =>
  promise.then(
    () => new Fault('INTERNAL', 'nothing was thrown'),
    (error: unknown) => error as Fault,
  );
