/** The owner's probe command, with real processes: it decides by its exit code alone, and leaves nothing running. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { nodeDisk } from '../../agent/disk/node-disk.ts';
import { Install } from '../../agent/change/install.ts';
import type { ProbeCommand } from '../../agent/store/context.ts';
import {
  type Room,
  bundleOf,
  deliver,
  faultOf,
  makeRoom,
  namesIn,
  paramsOf,
  photograph,
} from '../_kit/install-room.ts';
import { until } from '../_kit/until.ts';

const OLD = bundleOf({ 'rules/a.md': 'old' }, '1.0.0');
const NEW = bundleOf({ 'rules/a.md': 'new', 'bin/run.sh': '#!/bin/sh\n' }, '2.0.0');

/** Long enough for every command that is to end by itself. */
const MINUTES = 600_000;

const probing = (command: string, more: Partial<ProbeCommand> = {}): Room =>
  makeRoom({ probe: { command, timeout: MINUTES, env: { PATH: process.env['PATH'] }, ...more } });

/** A directory beside the root for what a command writes. */
function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-probe-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The id of a process that has written it to a file. */
async function pidIn(file: string): Promise<number> {
  await until(() => expect(existsSync(file) && readFileSync(file, 'utf8')).toMatch(/^\d+\n$/));
  return Number(readFileSync(file, 'utf8'));
}

/** Whether a process runs. One that has ended and waits for its parent does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

const gone = (pid: number): Promise<void> => until(() => expect(isAlive(pid)).toBe(false));

/** Refused by the command: live is as it was, and nothing is left in staging. */
async function refusedBy(command: string, more: Partial<ProbeCommand> = {}): Promise<string> {
  const room = makeRoom();
  await deliver(room, OLD);
  const before = photograph(nodeDisk, room.layout.live('lint'));
  const { policy } = probing(command, more).context;
  const probed = { ...room, context: { ...room.context, policy } };
  const fault = await faultOf(() => deliver(probed, NEW));
  expect(fault.code).toBe('PROBE_FAILED');
  expect(fault.hint).toBeDefined();
  expect(photograph(nodeDisk, room.layout.live('lint'))).toEqual(before);
  expect(namesIn(room, room.layout.staging)).toEqual([]);
  return fault.message;
}

describe('a probe command that ends with 0', () => {
  it('lets the plugin be installed, and has seen it whole, in its directory and by its name', async () => {
    const out = join(scratch(), 'seen');
    const room = probing(`cat rules/a.md > ${out}; test -x bin/run.sh && echo " $PLUGIN_NAME" >> ${out}`);
    expect((await deliver(room, NEW)).status).toBe('installed');
    expect(readFileSync(out, 'utf8')).toBe('new lint\n');
  });

  it('is not waited for by what has left its group and holds its output open', async () => {
    const out = join(scratch(), 'pid');
    const room = probing(
      `setsid sh -c 'echo $$ > ${out}; exec sleep 600' & until test -s ${out}; do :; done`,
    );
    expect((await deliver(room, NEW)).status).toBe('installed');
    process.kill(await pidIn(out), 'SIGKILL');
  });

  it('is in time, although its time is over while something still holds its output open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const folder = scratch();
    const [own, left] = [join(folder, 'own'), join(folder, 'left')];
    const room = probing(
      `echo $$ > ${own}; setsid sh -c 'echo $$ > ${left}; exec sleep 600' & until test -s ${left}; do :; done`,
    );
    const delivered = deliver(room, NEW);
    const pid = await pidIn(own);
    await until(() => expect(existsSync(`/proc/${pid}`)).toBe(false));
    vi.advanceTimersByTime(MINUTES);
    expect((await delivered).status).toBe('installed');
    process.kill(await pidIn(left), 'SIGKILL');
  });

  it('is not asked about what is present, and is asked about what is forced', async () => {
    const out = join(scratch(), 'asked');
    const room = probing(`echo x >> ${out}`);
    await deliver(room, NEW);
    await deliver(room, NEW);
    await deliver(room, NEW, { force: true });
    expect(readFileSync(out, 'utf8')).toBe('x\nx\n');
  });

  it('ends also for what it has left running', async () => {
    const out = join(scratch(), 'pid');
    const room = probing(
      `sh -c 'trap "" TERM HUP; echo $$ > ${out}; while :; do sleep 60; done' & until test -s ${out}; do :; done`,
    );
    expect((await deliver(room, NEW)).status).toBe('installed');
    await gone(await pidIn(out));
  });
});

describe('a probe command refuses the plugin', () => {
  it.each([
    [
      'by its exit code',
      'echo "rule 7 is broken"; echo more >&2; exit 3',
      /exit code 3\. It said: rule 7 is broken\nmore$/,
    ],
    ['that was killed', 'kill -SEGV $$', /was killed by SIGSEGV$/],
    ['that has killed its group', 'kill -KILL 0', /was killed by SIGKILL$/],
    ['that does not exist', 'no-such-probe', /exit code 127\. It said: .*no-such-probe/],
    ['that is not executable', '/etc/passwd', /exit code 126/],
    ['with an error in it', 'if', /exit code 2/],
  ])('%s', async (_what, command, why) => {
    expect(await refusedBy(command)).toMatch(why);
  });

  it('that the system cannot start, because its environment is too long', async () => {
    const env = { PATH: process.env['PATH'], LONG: 'x'.repeat(4_000_000) };
    expect(await refusedBy('true', { env })).toMatch(/could not be started: spawn E2BIG$/);
  });

  it('that removes itself, from then on', async () => {
    const script = join(scratch(), 'probe.sh');
    writeFileSync(script, `#!/bin/sh\nrm ${script}\n`, { mode: 0o755 });
    const room = probing(script);
    expect((await deliver(room, OLD)).status).toBe('installed');
    expect((await faultOf(() => deliver(room, NEW))).code).toBe('PROBE_FAILED');
  });

  it('that takes too long, and kills what it has started, whatever that ignores and holds open', async () => {
    const out = join(scratch(), 'pid');
    const stubborn = `trap "" TERM HUP INT; echo $$ > ${out}; while :; do sleep 60; done`;
    const message = await refusedBy(`sh -c '${stubborn}' & sleep 600`, { timeout: 1000 });
    expect(message).toBe('The probe command did not end within 1 s');
    await gone(await pidIn(out));
  });

  it('that says more than can be kept, of which the end is told', async () => {
    const message = await refusedBy('head -c 50000000 /dev/zero | tr "\\0" x; echo the end; exit 1');
    expect(message).toMatch(/xthe end$/);
    expect(message.length).toBeLessThan(1100);
  });

  it.each([
    ['edits a file', 'echo edited > rules/a.md', '"rules/a.md" is modified'],
    ['makes a file executable', 'chmod +x rules/a.md', '"rules/a.md" is modified'],
    ['removes a file', 'rm plugin.yaml', '"plugin.yaml" is missing'],
    ['adds a file', 'touch rules/b.md', '"rules/b.md" was not installed'],
    ['adds a link', 'ln -s /etc/passwd rules/c.md', '"rules/c.md" was not installed'],
    ['forges the marker', 'touch .complete', '".complete" was not installed'],
    ['removes everything', 'rm -r "$PWD"', 'ENOENT'],
  ])('that %s in the staged tree', async (_what, command, why) => {
    const message = await refusedBy(command);
    expect(message).toContain('The probe command has changed the tree: ');
    expect(message).toContain(why);
  });
});

it('an interrupt ends the command at once, and nothing is left', async () => {
  const out = join(scratch(), 'pid');
  const room = probing(`echo $$ > ${out}; sleep 600`);
  const install = new Install(room.context, paramsOf(NEW), 'tester');
  install.begin();
  await install.write(NEW);
  const validated = faultOf(() => install.validate());
  const pid = await pidIn(out);
  install.interrupt();
  expect((await validated).code).toBe('CANCELLED');
  await gone(pid);
  expect(namesIn(room, room.layout.staging)).toEqual([]);
});
