/**
 * The status page in a real browser: it shows what happens, keeps itself up to date, works without JavaScript, and runs nothing
 * of a plugin. `UPDATE_PICTURES=1` draws the pictures in docs/ again; then look at them.
 */
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeEach, expect, it } from 'vitest';

import { TOKEN, type TestAgent, scratch, startTestAgent } from '../_kit/agent.ts';
import { Browser, type Tab, needBrowser } from '../_kit/browser.ts';
import { type Bundle, type Opened, beginOf, pack, packPlugin, push, sendUpTo } from '../_kit/bundle.ts';
import { SKILL, put, version } from '../_kit/place.ts';
import { repository } from '../_kit/program.ts';
import { until } from '../_kit/until.ts';
import { Wire } from '../_kit/wire.ts';

beforeEach((ctx) => needBrowser(ctx));

const urlOf = ({ port }: TestAgent): string => `http://127.0.0.1:${port}/`;
const shows = (tab: Tab, selector: string, text: string | RegExp): Promise<void> =>
  until(async () => expect(await tab.text(selector)).toMatch(text), 100);

/** Sends so many bytes of a bundle. @returns how to send the rest and commit. */
async function begin(
  wire: Wire,
  plugin: string,
  bundle: Bundle,
  end: number,
): Promise<() => Promise<unknown>> {
  const params = beginOf(plugin, bundle, { operationId: `push-of-${plugin}` });
  const opened = await wire.request<Opened>('install.begin', params);
  await sendUpTo(wire, opened, bundle.bytes, end);
  return async () => {
    await sendUpTo(wire, { ...opened, offset: end }, bundle.bytes);
    return wire.request('install.commit', { operationId: params.operationId });
  };
}

it('shows an install while it runs and then its verdict, without being loaded again', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const tab = await (await Browser.open()).tab();
  await tab.goTo(urlOf(agent));
  await tab.value('window.mark = 1');
  await shows(tab, '#need', 'No operator is needed');
  expect(await tab.value(`document.querySelector('#running').hidden`)).toBe(true);
  const finish = await begin(wire, 'docs', await packPlugin('docs', '4.0.1', 4_000_000), 3_000_000);
  await shows(tab, '#running', /docs.*MiB of 3\.8 MiB.*receive/s);
  expect(await tab.value(`document.querySelector('progress').position`)).toBeGreaterThan(0.2);
  await finish();
  await shows(tab, '#lately', /docs: token installed 4\.0\.1.*docs: Verdict cold/s);
  await shows(tab, '#plugins', /docs\s+4\.0\.1\s+verified/);
  expect(await tab.value('window.mark')).toBe(1);
  expect(tab.complaints).toEqual([]);
});

it('stands still while text in it is selected, and goes on after that', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const browser = await Browser.open();
  const [tab, other] = [await browser.tab(), await browser.tab()];
  for (const each of [tab, other]) {
    await each.goTo(urlOf(agent));
    await shows(each, 'footer', 'keeps itself up to date');
  }
  await tab.value(`getSelection().selectAllChildren(document.querySelector('h1'))`);
  // Both look equally often, and the other one has looked again after that.
  await put(wire, await version('1', '1'));
  await shows(other, '#plugins', /lint\s+1\.0\.0/);
  await put(wire, await version('2', '1'));
  await shows(other, '#lately', 'hooks/run.sh');
  expect(await tab.text('#plugins')).not.toContain('lint');
  await tab.value('getSelection().removeAllRanges()');
  await shows(tab, '#plugins', 'lint');
});

it('works without JavaScript: the browser loads it again by itself', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const tab = await (await Browser.open()).tab({ javascript: false });
  await tab.goTo(urlOf(agent));
  await shows(tab, 'footer', 'This page is loaded again every 5 seconds');
  await put(wire, await version('1', '1'));
  await shows(tab, '#plugins', 'lint');
  await shows(tab, '#lately', 'lint: token installed 1.0.0');
  expect(await tab.text('footer')).toContain('This page is loaded again every 5 seconds');
});

it('runs, loads and changes nothing for the author of a plugin', async () => {
  const agent = await startTestAgent();
  const wire = await Wire.start(agent);
  const evil = `</script></style><script>document.title = "taken"</script><img src="/healthz" onerror="document.title = 'taken'">`;
  const bundle = await pack({
    'plugin.yaml': `name: docs\nversion: 1.0.0\ndescription: ${JSON.stringify(evil)}\n`,
    'skills/one/SKILL.md': '---\nname: one\ndescription: Does one\n---\n',
  });
  const tab = await (await Browser.open()).tab();
  await tab.goTo(urlOf(agent));
  await push(wire, beginOf('docs', bundle), bundle);
  // Once by its own script, and once as it is loaded.
  await shows(tab, '#plugins', '<img src="/healthz"');
  await tab.goTo(urlOf(agent));
  expect(await tab.text('#plugins')).toContain(evil);
  await shows(tab, 'footer', 'keeps itself up to date');
  expect(await tab.value('document.title')).toContain('No operator is needed');
  expect(
    await tab.value(`document.querySelectorAll('img, iframe, script ~ script, main script').length`),
  ).toBe(0);
  expect(tab.complaints).toEqual([]);
});

it('asks for a token once, and shows nothing for a wrong one', async () => {
  const agent = await startTestAgent({ env: { AIRLOCK_STATUS_PAGE: 'token' } });
  const wire = await Wire.start(agent);
  const browser = await Browser.open();
  const known = await browser.tab({ login: { username: 'me', password: TOKEN } });
  await known.goTo(urlOf(agent));
  await shows(known, 'footer', 'keeps itself up to date');
  await put(wire, await version('1', '1'));
  await shows(known, '#plugins', 'lint');
  expect(known.asked).toBe(1);
  const unknown = await browser.tab({ login: { username: 'me', password: 'x'.repeat(40) } });
  await unknown.goTo(urlOf(agent));
  expect(await unknown.text()).toContain('UNAUTHENTICATED');
  expect(await unknown.text()).not.toContain('lint');
});

it('says that the agent is gone, and goes on when another one has its place', async () => {
  const agent = await startTestAgent();
  const tab = await (await Browser.open()).tab();
  await tab.goTo(urlOf(agent));
  await shows(tab, 'footer', 'keeps itself up to date');
  await agent.close();
  await shows(tab, 'footer', 'The agent does not answer, and what is shown is old');
  expect(await tab.value('document.documentElement.className')).toBe('stale');
  const env = { AIRLOCK_LISTEN: `127.0.0.1:${agent.port}`, AIRLOCK_WORKSPACE: 'ws-18' };
  await startTestAgent({ root: agent.layout.root, env });
  await shows(tab, 'footer', 'keeps itself up to date');
  expect(await tab.value('document.title')).toContain('ws-18');
});

it('fits windows of any width, in the colours that a person prefers', async () => {
  const agent = await startTestAgent({ env: { AIRLOCK_WORKSPACE: 'w'.repeat(200) } });
  const wire = await Wire.start(agent);
  const bundle = await packPlugin(`long-${'x'.repeat(40)}`, `1.0.0-${'a'.repeat(80)}`);
  await push(wire, beginOf(`long-${'x'.repeat(40)}`, bundle), bundle);
  const browser = await Browser.open();
  const papers: unknown[] = [];
  for (const [width, dark] of [
    [320, false],
    [700, true],
    [1600, false],
  ] as const) {
    const tab = await browser.tab({ width, dark });
    await tab.goTo(urlOf(agent));
    await shows(tab, '#plugins', 'verified');
    expect(await tab.value('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    papers.push(await tab.value('getComputedStyle(document.body).backgroundColor'));
  }
  expect(papers).toEqual(['rgb(246, 247, 248)', 'rgb(20, 23, 26)', 'rgb(246, 247, 248)']);
});

/** A workspace on a day with some work. */
async function scene(): Promise<{ agent: TestAgent; wire: Wire }> {
  const token = 'platform-token-of-more-than-thirty-two-characters';
  const tokenFile = join(await scratch(), 'tokens');
  await writeFile(tokenFile, `write ${token} platform\n`);
  const agent = await startTestAgent({ env: { AIRLOCK_TOKEN_FILE: tokenFile, AIRLOCK_WORKSPACE: 'ws-17' } });
  const wire = await Wire.start(agent, { token });
  const texts = {
    'house-rules': 'How this house writes code and commits',
    'release-notes': 'Writes the notes of a release from its commits',
    'sql-review': 'Reviews queries and migrations',
  };
  for (const [name, description] of Object.entries(texts)) {
    const bundle = await pack({
      'plugin.yaml': `name: ${name}\nversion: 1.4.0\ndescription: ${description}\n`,
      'skills/one/SKILL.md': '---\nname: one\ndescription: Does one\n---\n',
    });
    await push(wire, beginOf(name, bundle), bundle);
  }
  return { agent, wire };
}

/** Compares nothing: pixels differ from one machine to the other. */
async function draw(tab: Tab, name: string): Promise<void> {
  // The root of a test would tell nothing.
  await tab.value(`document.querySelector('main > p b:last-child').textContent = '/configs/plugins'`);
  const picture = await tab.picture();
  expect(picture.subarray(1, 4).toString()).toBe('PNG');
  expect(picture.length).toBeLessThan(150_000);
  if (process.env['UPDATE_PICTURES'] === '1') await writeFile(join(repository, 'docs', name), picture);
}

it('is drawn for the docs while an install runs', async () => {
  const { agent, wire } = await scene();
  await put(wire, await version('1', '1'));
  await put(wire, await version('1', '2'));
  const finish = await begin(
    wire,
    'design-system',
    await packPlugin('design-system', '4.0.1', 8_000_000),
    5_500_000,
  );
  const tab = await (await Browser.open()).tab({ width: 900, height: 900 });
  await tab.goTo(urlOf(agent));
  await shows(tab, '#running', 'design-system');
  await shows(tab, '#plugins', /lint.*sql-review/s);
  await draw(tab, 'status-page-install.png');
  await finish();
});

it('is drawn for the docs with troubles', async () => {
  const { agent, wire } = await scene();
  await put(wire, await version('1', '1'));
  await put(wire, await version('2', '1'), false);
  await appendFile(join(agent.layout.live('house-rules'), SKILL), 'by hand\n');
  await mkdir(agent.layout.live('copied'));
  const trouble = {
    at: '2026-01-01T00:00:00.000Z',
    operationId: 'push-2f1c9a',
    what: 'Neither version is whole after a power cut',
    todo: 'Install it again: "airlock push sql-review"',
  };
  await writeFile(agent.layout.stateOf('sql-review'), JSON.stringify({ version: 1, trouble }));
  const tab = await (await Browser.open()).tab({ width: 900, height: 900, dark: true });
  await tab.goTo(urlOf(agent));
  await shows(tab, '#need', 'An operator is needed for 1 plugin');
  await shows(tab, '#plugins', /copied.*edited in place/s);
  await shows(tab, '#lately', 'Edited by hand');
  await draw(tab, 'status-page-troubles.png');
});
