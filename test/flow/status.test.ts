/** What `airlock status` says at three in the morning. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { Program, examplePlugin } from '../_kit/program.ts';
import { inProcess } from '../_kit/two-ways.ts';
import { until } from '../_kit/until.ts';

it('a restart command that fails is left to you while something waits for it, and so it says', async () => {
  const program = await Program.open();
  onTestFinished(() => program.close());
  await program.serveHere({ AIRLOCK_RESTART_COMMAND: 'echo not for everybody; exit 7' });
  const shown = async (): Promise<string> => {
    const { code, text } = await inProcess(['status', '--to', program.url], { AIRLOCK_TOKEN: program.token });
    return `${code} ${text}`;
  };
  expect(await shown()).toMatch(/^0 No operator is needed\n.*by AIRLOCK_RESTART_COMMAND\n/s);
  await program.json(['push', examplePlugin]);
  await until(async () => expect(await shown()).toMatch(/^1 /), 100);
  const left = await shown();
  expect(left).toMatch(/the last one FAILED at 2\S+Z \(exit code 7\)\n/);
  expect(left).toMatch(/ {2}pending {5}1 plugin, until the runtime is restarted\n/);
  expect(left).toMatch(
    /still wait for a restart\n {2}what to do: see the log of the agent; restart the runtime, .*"airlock restarted"\n$/,
  );
  expect(left).not.toContain('everybody');
  await program.json(['restarted']);
  await appendFile(join(program.root, 'house-rules/AGENTS.md'), 'by hand\n');
  const mended = await shown();
  expect(mended).toMatch(/^0 No operator is needed\n/);
  expect(mended).toMatch(/ {2}drifted {5}1 plugin with files edited in place; see "airlock verify"\n/);
  expect(mended).not.toContain('pending');
  await program.json(['push', examplePlugin, '--force', '--no-restart']);
  expect(await shown()).toMatch(/^0 No operator is needed\n.* {2}pending {5}1 plugin, /s);
});
