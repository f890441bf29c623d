/** A client's view of the events: what it missed, or a snapshot where that is gone, then all that comes. */
import type { Event } from '../../shared/events.ts';
import type { Params, PluginInfo } from '../../shared/methods.ts';
import { cut } from '../../shared/cut.ts';
import type { Outbox } from './outbox.ts';

export type Feed = {
  /** Whether everything since `resume` was still there; if not, a snapshot was sent. */
  resumed: boolean;
  stop: () => void;
};

/** Sends what was missed and goes on with what comes. */
export async function startFeed(
  outbox: Outbox,
  list: () => Promise<PluginInfo[]>,
  { events, resume }: Pick<Params<'session.start'>, 'events' | 'resume'>,
  notify: (event: Event) => void,
): Promise<Feed> {
  const send = (event: Event): void => {
    // It stands for events of every type that nobody could tell.
    if (events === 'all' || events.some((type) => type === event.type || event.type === 'snapshot')) {
      notify(event);
    }
  };
  let from = resume ?? outbox.at;
  let missed = outbox.since(from);
  const resumed = missed !== undefined;
  while (missed === undefined) {
    // The list is as old as the place before it, or younger: what came since is told again rather than not at all.
    from = outbox.at;
    const plugins = cut(await list());
    notify(outbox.stamp({ type: 'snapshot', data: { plugins } }, from.seq));
    missed = outbox.since(from);
  }
  missed.forEach(send);
  return { resumed, stop: outbox.listen(send) };
}
