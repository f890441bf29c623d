/** The status page of a running agent, about what really happens to it. */
import { once } from 'node:events';
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { type TestAgent, startTestAgent } from '../_kit/agent.ts';
import { type Opened, beginOf, pack, packPlugin, push, sendUpTo, sha256Of } from '../_kit/bundle.ts';
import { page } from '../_kit/metrics.ts';
import { SKILL, put, version } from '../_kit/place.ts';
import { rawSocket } from '../_kit/raw-socket.ts';
import { file, gzip, tar } from '../_kit/tar-builder.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

/** One section of the page, as markup. */
async function sectionOf(agent: TestAgent, id: string): Promise<string> {
  const { status, body } = await page(agent, '/');
  expect(status).toBe(200);
  return new RegExp(`<section id="${id}".*?</section>`, 's').exec(body)?.[0] ?? '';
}

/** Waits until a section says all of this: the agent keeps what it has read of the disk for a moment. */
const shown = (agent: TestAgent, id: string, ...texts: (string | RegExp)[]): Promise<void> =>
  until(async () => {
    const section = await sectionOf(agent, id);
    for (const text of texts) expect(section).toMatch(text);
  });

it('shows an install step by step, then its verdict, the plugin with its version, and what was edited', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const bundle = await packPlugin('docs', '4.0.1', 3_000_000);
  const params = beginOf('docs', bundle);
  const opened = await wire.request<Opened>('install.begin', params);
  await sendUpTo(wire, opened, bundle.bytes, 2_000_000);
  await shown(
    agent,
    'running',
    '<b>docs</b>',
    /<progress [^>]* value="[1-9]/,
    /aria-current="step">\s*receive/,
  );
  await sendUpTo(wire, { ...opened, offset: 2_000_000 }, bundle.bytes);
  await wire.request('install.commit', { operationId: params.operationId });
  await put(wire, await version('1', '1'));
  await put(wire, await version('2', '1'), false);
  await shown(agent, 'lately', 'token installed 4.0.1', 'Verdict cold', 'hooks/run.sh');
  await shown(agent, 'plugins', '<b>docs</b>', '4.0.1', '2 admitted', '1 waiting for a restart');
  await shown(agent, 'running', 'hidden');
  await appendFile(join(agent.layout.live('lint'), SKILL), 'by hand\n');
  await shown(agent, 'plugins', '1 file edited in place', '<code>airlock verify lint</code>');
});

it('shows what an operator has to do', async () => {
  const agent = await startTestAgent({ env: { AIRLOCK_WATCH: 'off' } });
  const wire = await Wire.start(agent);
  await put(wire, await version('1', '1'));
  await shown(agent, 'need', 'No operator is needed');
  await mkdir(agent.layout.live('half'));
  const trouble = {
    at: '2026-01-01T00:00:00.000Z',
    operationId: 'operation-0001',
    what: 'It is torn',
    todo: 'Mend it',
  };
  await writeFile(agent.layout.stateOf('lint'), JSON.stringify({ version: 1, trouble }));
  await shown(agent, 'need', 'An operator is needed for 1 plugin');
  await shown(agent, 'todo', 'lint: It is torn', 'What to do: Mend it');
  await shown(agent, 'plugins', 'refused: no-marker', '<code>airlock adopt half</code>');
  await rm(agent.layout.staging, { recursive: true });
  await shown(agent, 'need', 'An operator is needed: ');
});

it('shows what the author of a plugin writes as text only', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const evil = '</p><script>alert(1)</script><img src=x onerror=alert(2)>';
  const bundle = await pack({
    'plugin.yaml': `name: docs\nversion: 1.0.0\ndescription: '${evil}'\n`,
    'skills/one/SKILL.md': '---\nname: one\ndescription: Does one\n---\n',
  });
  await push(wire, beginOf('docs', bundle), bundle);
  const bytes = gzip(tar(file('plugin.yaml', 'name: lint\nversion: 1.0.0\n'), file(`../${evil}`, 'x')));
  const outside = { bytes, size: bytes.length, sha256: sha256Of(bytes) };
  await expect(push(wire, beginOf('lint', outside), outside)).rejects.toThrow('ARCHIVE_PATH');
  await mkdir(join(agent.layout.root, '<img src=y>'));
  await shown(agent, 'plugins', '&lt;img src=x onerror=alert(2)&gt;');
  await shown(agent, 'lately', 'An install failed', '&lt;script&gt;');
  const { body } = await page(agent, '/');
  expect(body).not.toContain('<img');
  expect(body.match(/<script/g)).toHaveLength(1);
});

it('lets go of an open page when the agent ends', async () => {
  const agent = await startTestAgent();
  const socket = await rawSocket(agent);
  let said = '';
  socket.setEncoding('utf8').on('data', (text: string) => (said += text));
  // Without "Connection: close", as a browser asks.
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => expect(said).toMatch(/^HTTP\/1\.1 200 .*<\/html>/s));
  const ended = once(socket, 'end');
  await agent.close();
  await ended;
});
