/** A proxy in real time that cuts idle connections. A file of its own: it mostly waits, beside the others. */
import { expect, it, onTestFinished } from 'vitest';

import { openSession } from '../../client/connect.ts';
import { follow } from '../../client/follow.ts';
import { push } from '../../client/push.ts';
import { Cable } from '../_kit/cable.ts';
import { Lane } from '../_kit/cut-pushes.ts';
import { Program, addressOf } from '../_kit/program.ts';

it(
  'a proxy that cuts who is idle for 20 s cuts nobody, also while a commit takes long',
  { timeout: 240_000 },
  async () => {
    const agent = await Program.open();
    onTestFinished(() => agent.close());
    await agent.serve({ AIRLOCK_PROBE_COMMAND: 'sleep 25' });
    const cable = await Cable.lay(addressOf(agent).port, { idleMillis: 20_000 });
    onTestFinished(() => cable.close());
    const { token } = agent;
    const over = new AbortController();
    const lost: string[] = [];
    const following = follow(
      (more) => openSession({ url: cable.url, token, client: 'follower', events: 'all', ...more }),
      {
        signal: over.signal,
        onEvent: () => undefined,
        onLost: ({ message }) => lost.push(message),
      },
    );
    const bundle = await new Lane(agent, 'slow').next();
    const open = (signal: AbortSignal | undefined) =>
      openSession({ url: cable.url, token, client: 'push', signal });
    const onReconnect = ({ message }: Error): void => void lost.push(message);
    // Twice, so that it takes longer than two turns of the pings.
    expect(await push(open, bundle, { onReconnect })).toMatchObject({ status: 'installed' });
    expect(await push(open, bundle, { onReconnect, force: true })).toMatchObject({ status: 'installed' });
    over.abort();
    await following;
    expect(lost).toEqual([]);
    expect(cable.passages.map(({ ended }) => ended)).toEqual([undefined, undefined, undefined]);
  },
);
