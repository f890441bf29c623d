/** What a push would do, asked of a real agent beforehand: its answer is held to what the push then does. */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import {
  classify,
  listDirectory,
  newOperationId,
  openSession,
  packDirectory,
  planPush,
  type PushPlan,
  push,
  type Session,
} from '../../client/index.ts';
import { scratch, startTestAgent, type TestAgent, TOKEN } from '../_kit/agent.ts';
import { chanceOf, pick } from '../_kit/chance.ts';
import { faultOf } from '../_kit/install-room.ts';
import { noise } from '../_kit/noise.ts';
import { Program } from '../_kit/program.ts';

const FILES = 24;
let source: string;
let agent: TestAgent;
let session: Session;

const write = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(join(source, path)), { recursive: true });
  await writeFile(join(source, path), text);
};

const open = (signal?: AbortSignal): Promise<Session> =>
  openSession({ url: `ws://127.0.0.1:${agent.port}`, token: TOKEN, client: 'test', signal });

async function fill(): Promise<void> {
  await write('plugin.yaml', 'name: lint\nversion: 1.0.0\n');
  for (const name of ['a', 'b']) {
    await write(`skills/${name}/SKILL.md`, `---\nname: ${name}\ndescription: first\n---\n`);
  }
  for (let i = 0; i < FILES; i += 1) await write(`data/d${i % 7}/f${i}.bin`, noise(i, 8000));
}

beforeEach(async () => {
  source = join(await scratch(), 'lint');
  agent = await startTestAgent({ env: { AIRLOCK_DURABILITY: 'none' } });
  session = await open();
  await fill();
});

/** The plan of a push of the directory, and the push. */
async function planned(): Promise<{ plan: PushPlan; pushed: Awaited<ReturnType<typeof push>> }> {
  const bundle = await packDirectory(source);
  try {
    const plan = await planPush(session, bundle, { delta: true });
    return { plan, pushed: await push(open, bundle, { delta: true }) };
  } finally {
    await bundle.dispose();
  }
}

describe('the plan of a push', () => {
  it('of a plugin that is not there says that all of it would be sent, and needs a restart', async () => {
    const { plan, pushed } = await planned();
    expect(plan).toMatchObject({ status: 'planned', installId: null, sent: { files: FILES + 3, list: 0 } });
    expect(plan.sent.bytes).toBe(plan.sent.of);
    expect(plan.room.needed).toBe(pushed.bytes);
    expect(plan.room.free).toBeGreaterThan(plan.room.needed);
    expect(plan.reload).toEqual(pushed.reload);
  });

  it('changes nothing', async () => {
    await planned();
    await write('plugin.yaml', 'name: lint\nversion: 2.0.0\n');
    const bundle = await packDirectory(source);
    const before = await session.call('plugin.get', { plugin: 'lint' });
    await planPush(session, bundle);
    expect(await session.call('plugin.get', { plugin: 'lint' })).toEqual(before);
    expect((await session.call('status', { quick: true })).operations.total).toBe(0);
    await bundle.dispose();
  });

  it('of an edited skill says what is sent, how long the list is, and that no restart is needed', async () => {
    await planned();
    await write('skills/a/SKILL.md', '---\nname: a\ndescription: second\n---\n');
    const { plan, pushed } = await planned();
    expect(plan.sent.files).toBe(1);
    expect(plan.sent.of).toBe(pushed.delta?.of);
    // The list that is asked for without a plan has a line less.
    expect(Math.abs(plan.sent.bytes - (pushed.delta?.bytes ?? 0))).toBeLessThan(100);
    expect(plan.sent.list).toBeGreaterThan(0);
    expect(plan.sent.list).toBeLessThan(plan.sent.bytes);
    expect(plan.reload).toMatchObject({ kind: 'skill-content-only', action: 'hot', restarting: false });
    expect(plan.reload).toEqual(pushed.reload);
  });

  it('of what is live says that nothing would be sent', async () => {
    const { pushed } = await planned();
    const { plan } = await planned();
    expect(plan).toMatchObject({
      status: 'present',
      installId: pushed.installId,
      sent: { files: 0, bytes: 0 },
      room: { needed: 0 },
      reload: { kind: 'identical', action: 'none', restarting: false },
    });
  });

  it('with `restart: false` says that nobody restarts', async () => {
    const bundle = await packDirectory(source);
    const { reload } = await planPush(session, bundle, { restart: false });
    expect(reload).toMatchObject({ action: 'restart', restarting: false });
    await bundle.dispose();
  });

  it('needs a bundle whose files are known, and an agent that knows deltas', async () => {
    const bundle = await packDirectory(source);
    const { parts: _, ...blind } = bundle;
    expect(await faultOf(() => planPush(session, blind))).toMatchObject({ code: 'INVALID_PARAMS' });
    session.hello.capabilities = [];
    expect(await faultOf(() => planPush(session, bundle))).toMatchObject({ code: 'INVALID_PARAMS' });
    await bundle.dispose();
  });
});

describe('the verdict of a plan', () => {
  it('is that of the install, whatever was edited, loaded or is pending', async () => {
    const chance = chanceOf('plans');
    const verdicts = new Set<string>();
    const skill = (): string => `skills/${pick(chance, 2) === 0 ? 'a' : 'b'}/SKILL.md`;
    const edits: (() => Promise<unknown>)[] = [
      () => write(skill(), `---\nname: x\ndescription: ${chance()}\n---\n`),
      () => write(skill(), `---\nname: x\ndescription: ${chance()}\n---\n`),
      () => write(`data/d1/f${pick(chance, 5)}.bin`, noise(pick(chance, 5), 8000)),
      () => write(`new/${pick(chance, 3)}.txt`, String(chance())),
      () => rm(join(source, 'data/d3'), { recursive: true, force: true }),
      () => chmod(join(source, 'skills/a/SKILL.md'), pick(chance, 2) === 0 ? 0o755 : 0o644),
      () => write('plugin.yaml', `name: lint\nversion: 1.0.0\nhot_reload: ${pick(chance, 2) === 0}\n`),
      // By hand, in the live tree.
      () => writeFile(join(agent.layout.live('lint'), skill()), String(chance())),
      () => session.call('runtime.restarted', { operationId: newOperationId() }),
    ];
    await planned();
    for (let round = 0; round < 30; round += 1) {
      await edits[pick(chance, edits.length)]?.();
      const asked = await classify(session, await listDirectory(source));
      const { plan, pushed } = await planned();
      expect({ ...plan.reload, restarting: false }).toEqual(asked);
      const isInstalled = pushed.status === 'installed' && plan.status === 'planned';
      if (isInstalled) expect(plan.reload).toEqual(pushed.reload);
      verdicts.add(plan.reload.kind);
    }
    expect([...verdicts].toSorted()).toEqual(['cold', 'identical', 'skill-content-only']);
  });

  it('leaves out what the owner ignores', async () => {
    agent = await startTestAgent({ env: { AIRLOCK_DURABILITY: 'none', AIRLOCK_IGNORE: '*.log' } });
    session = await open();
    const bundle = await packDirectory(source);
    await push(open, bundle);
    await write('notes.log', 'x');
    const more = await packDirectory(source);
    expect((await planPush(session, more)).reload.kind).toBe('identical');
    await Promise.all([bundle.dispose(), more.dispose()]);
  });
});

it('`airlock push --plan` says it in words, as JSON, and refuses what it has no use for', async () => {
  const program = await Program.open();
  try {
    await program.serveHere();
    await write('big.bin', noise(5000, 1_600_000));
    const run = (...more: string[]) => program.here(['push', source, '--to', program.url, ...more]);
    const first = JSON.parse((await run('--plan')).stdout) as PushPlan;
    expect(first).toMatchObject({ plugin: 'lint', status: 'planned', installId: null });
    expect((await program.here(['list', '--to', program.url])).stdout).not.toContain('lint');
    expect((await run()).code).toBe(0);
    await write('skills/a/SKILL.md', 'x');
    const { stdout, code } = await run('--plan');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      sent: { files: 1 },
      reload: { kind: 'skill-content-only', action: 'hot' },
    });
    for (const other of [['--all'], ['--lock', 'x.lock'], ['--operation', 'one-operation']]) {
      const refused = await run('--plan', ...other);
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain(other[0]);
    }
  } finally {
    await program.close();
  }
});
