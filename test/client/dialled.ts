/** A platform of the tests that accepts agents, and agents that dial in. */
import { type Server, createServer } from 'node:http';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { expect, onTestFinished } from 'vitest';

import { type AcceptOptions, acceptAgents, type Agents } from '../../client/accept/accept-agents.ts';
import { byToken } from '../../client/accept/tokens.ts';
import { type Bundle, openBundle } from '../../client/bundle.ts';
import { Fault } from '../../shared/api/fault.ts';
import { scratch } from '../_kit/agent.ts';
import { packPlugin } from '../_kit/bundle.ts';
import { until } from '../_kit/until.ts';
import { type Behaviour, dialIn, HELLO, type Peer } from './fake-agent.ts';

export const tokenOf = (workspace: string): string => `token-of-${workspace}-${'x'.repeat(32)}`;
export const shown = (workspace: string, token = tokenOf(workspace)): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  'airlock-workspace': workspace,
});

type Platform = { server: Server; port: number; url: string; agents: Agents; lost: string[]; told: string[] };

export async function openPlatform(options: Partial<AcceptOptions> = {}): Promise<Platform> {
  const server = createServer((_request, response) => response.end('an answer of the platform'));
  const [lost, told]: string[][] = [[], []];
  const agents = acceptAgents(server, {
    client: 'test',
    authenticate: byToken((workspace) => (workspace === 'stranger' ? [] : [tokenOf(workspace)])),
    onEvent: (workspace, { type, seq }) => told?.push(`${workspace} ${type} ${seq}`),
    onLost: (workspace, { code }) => lost?.push(`${workspace} ${code}`),
    ...options,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  onTestFinished(async () => {
    await agents.close();
    server.closeAllConnections();
    server.close();
  });
  return {
    server,
    port,
    url: `ws://127.0.0.1:${port}/v1/agents`,
    agents,
    lost: lost ?? [],
    told: told ?? [],
  };
}

/** An agent of the tests that says that it is of this workspace. */
export const fake = (workspace: string, behaviour: Behaviour = {}) => ({
  behaviour: { hello: { ...HELLO, workspace }, ...behaviour },
  peers: [] as Peer[],
  starts: [] as Record<string, unknown>[],
  violations: [] as string[],
});

/** Dials in as such an agent. */
export async function dial(url: string, workspace: string, behaviour: Behaviour = {}) {
  const agent = fake(workspace, behaviour);
  const socket = await dialIn(agent, url, shown(workspace));
  onTestFinished(() => socket.terminate());
  const closed = new Promise<[number]>((resolve) => socket.on('close', (code) => resolve([code])));
  socket.on('error', () => undefined);
  const tell = (seq: number): void =>
    agent.peers[0]?.notify('event', {
      bootId: HELLO.bootId,
      seq,
      at: '2026-05-08T14:15:30.123Z',
      type: 'draining',
      data: {},
    });
  return { ...agent, socket, tell, closed };
}

export const names = (agents: Agents): string[] => [...agents].map(({ workspace }) => workspace);
export const here = (agents: Agents, ...workspaces: string[]) =>
  until(() => expect(names(agents).toSorted()).toEqual(workspaces.toSorted()));
export const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no fault',
    (error: unknown) => (error instanceof Fault ? `${error.code} ${error.retry}` : String(error)),
  );
export const answering = (result: unknown): Behaviour => ({
  onRequest: ({ id }, peer) => peer.answer(id, result),
});
export const ABSENT = { plugin: 'lint', disabled: true };
export const DISABLE = { plugin: 'lint', disabled: true, operationId: 'operation-1' };

export async function bundleFile(padding = 0): Promise<Bundle> {
  const file = join(await scratch(), 'lint.tgz');
  await writeFile(file, (await packPlugin('lint', '1.0.0', padding)).bytes);
  return openBundle(file);
}
