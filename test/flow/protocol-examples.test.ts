/** docs/protocol-examples.md is what an agent says: every method and every type of events, in a real conversation. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';
import * as z from 'zod';

import type { Event } from '../../shared/api/events.ts';
import type { MethodName } from '../../shared/api/methods.ts';
import { startTestAgent } from '../_kit/agent.ts';
import { ExampleConversation, type Recorded } from '../_kit/example-conversation.ts';
import { Replacer, examplesPage } from '../_kit/example-page.ts';
import { type ExampleEntry, methodExamples, otherExamples } from '../_kit/example-script.ts';
import { repository } from '../_kit/program.ts';

const schemaOf = async (name: string): Promise<z.ZodType> =>
  z.fromJSONSchema(JSON.parse(await readFile(join(repository, 'docs/schema', `${name}.json`), 'utf8')));

const page = join(repository, 'docs/protocol-examples.md');

test('every message of the protocol is as the page of examples shows it', async () => {
  const agent = await startTestAgent({
    env: { AIRLOCK_WORKSPACE: 'workspace-7', AIRLOCK_RUNTIME: 'claude-code' },
  });
  const witness = await ExampleConversation.open(agent);
  const recorded = new Map<MethodName, Recorded[]>();
  const others = new Map<string, Recorded[]>();
  const snapshots: Event[] = [];
  const runOthers = async (after: MethodName | undefined): Promise<void> => {
    const chosen = Object.entries(otherExamples).filter(([, example]) => example.after === after);
    for (const [title, { isFresh, run }] of chosen) {
      const talk = await ExampleConversation.open(agent, isFresh !== true);
      await run(talk);
      others.set(title, talk.recorded);
      snapshots.push(...talk.events.filter(({ type }) => type === 'snapshot'));
      talk.end();
    }
  };
  for (const [name, run] of Object.entries(methodExamples) as [MethodName, ExampleEntry][]) {
    const talk = await ExampleConversation.open(agent, name !== 'session.start');
    await run(talk);
    recorded.set(name, talk.recorded);
    talk.end();
    await runOthers(name);
  }
  await runOthers(undefined);
  const frames = [...recorded.values(), ...others.values()].flat();
  const frameSchema = await schemaOf('frame');
  const eventSchema = await schemaOf('event');
  const outside = [
    ...frames.filter((frame) => 'json' in frame && !frameSchema.safeParse(frame.json).success),
    ...witness.events.filter((event) => !eventSchema.safeParse(event).success),
  ];
  expect(outside, 'docs/schema accepts every frame and every event').toEqual([]);
  const closing = agent.close();
  expect(await witness.closed()).toBe(1001);
  await closing;
  const replacer = new Replacer({
    [agent.layout.root]: '/configs/plugins',
    [agent.bootId]: '5a27c3e0-9b1d-4f6e-8a35-2f7d1c4b9e60',
  });
  const examples = { methods: recorded, others, events: [...witness.events, ...snapshots] };
  const written = examplesPage(examples, replacer);
  if (process.env['UPDATE_EXAMPLES'] === '1') await writeFile(page, written);
  expect(written, 'run it with UPDATE_EXAMPLES=1').toBe(await readFile(page, 'utf8'));
});
