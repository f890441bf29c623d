// `npm run demo`: what Airlock is for, in under a minute, with real processes on a real disk. Every sentence that it
// prints was checked; what is not as promised ends it with exit code 1. It leaves nothing behind.
import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { Stage, promised, repository } from './demo-stage.mjs';

const NAME = 'house-rules';
/** How often the plugin is changed under the eyes of the reader. */
const UPDATES = 7;
const LIMIT_SECONDS = 55;

const stage = new Stage();
const json = (ended) => JSON.parse(ended.stdout);
const count = (number) => number.toLocaleString('en');

/** Two versions of the example: it as it is, and a copy with one skill changed, one added and a higher version. */
async function makeVersions() {
  const one = path.join(repository, 'examples', 'plugins', NAME);
  const two = path.join(stage.folder, 'v2', NAME);
  await cp(one, two, { recursive: true });
  const manifest = await readFile(path.join(two, 'plugin.yaml'), 'utf8');
  const changed = manifest
    .replace(/^version: .*$/m, 'version: 2.0.0')
    .replace(/^ {2}- write-a-commit$/m, '$&\n  - hand-over');
  await writeFile(path.join(two, 'plugin.yaml'), changed);
  const skill = path.join(two, 'skills', 'review-a-diff', 'SKILL.md');
  await writeFile(
    skill,
    `${await readFile(skill, 'utf8')}\nA review takes less than an hour, or the change is too large.\n`,
  );
  await mkdir(path.join(two, 'skills', 'hand-over'));
  await writeFile(path.join(two, 'skills', 'hand-over', 'SKILL.md'), HAND_OVER);
  return { one, two };
}

const HAND_OVER = `---
name: hand-over
description: Write down where a task stands, for whoever goes on with it. Use it when you stop before the task is done.
---

# Hand over

What is done, and how you know. What is not, and why. What you tried that did not work. The next step.
`;

async function halfCopied(root, one) {
  const folder = path.join(root, 'half-copied');
  await mkdir(path.join(folder, 'rules'), { recursive: true });
  const manifest = await readFile(path.join(one, 'plugin.yaml'), 'utf8');
  await writeFile(path.join(folder, 'plugin.yaml'), manifest.replace(NAME, 'half-copied'));
  const rule = await readFile(path.join(one, 'rules', 'changes.md'));
  await writeFile(path.join(folder, 'rules', 'changes.md'), rule.subarray(0, rule.length / 2));
}

/** What the reader compares with: the two files that it reads, as one hash. */
async function hashOf(folder, files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(await readFile(path.join(folder, file)));
  return hash.digest('hex');
}

async function list(args, env) {
  const ended = await stage.airlock(['list', ...args, '--json'], env);
  promised(ended.code === 0, '"airlock list" ends with exit code 0', ended.stderr);
  return { plugins: json(ended), millis: ended.millis };
}

async function push(folder, url, env) {
  const ended = await stage.airlock(['push', folder, '--to', url, '--json'], env);
  promised(ended.code === 0, '"airlock push" ends with exit code 0', ended.stderr);
  return { ...json(ended), millis: ended.millis };
}

async function main() {
  await stage.open();
  const root = path.join(stage.folder, 'plugins');
  await mkdir(root);
  const { one, two } = await makeVersions();
  stage.title('Airlock: plugins change while somebody reads them, and nobody ever sees half of one');
  stage.say(`   ROOT=${root}`);

  stage.step('Somebody copied a plugin by hand, and was interrupted');
  await halfCopied(root, one);
  stage.command('airlock list --root $ROOT');
  const before = await list(['--root', root]);
  const half = before.plugins.find(({ name }) => name === 'half-copied');
  promised(
    half?.status === 'refused' && half.reason === 'no-marker',
    'a half-copied plugin is refused',
    before.plugins,
  );
  stage.bad(`refused: half-copied (${half.reason}). ${half.detail}`, before.millis);
  stage.result(`hint: ${half.hint}`);

  stage.step('The agent starts beside the workspace');
  stage.command('export AIRLOCK_TOKEN=$(airlock token)');
  const made = await stage.airlock(['token']);
  promised(made.code === 0 && made.stdout.trim().length >= 32, '"airlock token" makes a token', made.stderr);
  const env = { AIRLOCK_TOKEN: made.stdout.trim() };
  stage.command('airlock agent --root $ROOT --listen 127.0.0.1:0');
  const agent = await stage.agent({ ...env, AIRLOCK_ROOT: root, AIRLOCK_LISTEN: '127.0.0.1:0' });
  stage.good(`listening on ${agent.url}`, agent.millis);

  stage.step('The platform pushes a plugin over the socket');
  stage.command(`airlock push examples/plugins/${NAME} --to ${agent.url}`);
  const first = await push(one, agent.url, env);
  promised(
    first.status === 'installed' && first.pluginVersion === '1.0.0',
    'version 1.0.0 is installed',
    first,
  );
  stage.good(`installed: ${NAME} 1.0.0, ${first.files} files, ${count(first.bytes)} bytes`, first.millis);
  stage.command('airlock list --root $ROOT');
  const after = await list(['--root', root]);
  const live = after.plugins.find(({ name }) => name === NAME);
  promised(
    live?.status === 'admitted' && live.level === 'verified',
    'the gate admits what was pushed',
    after.plugins,
  );
  stage.good(`admitted: ${NAME} ${live.version} (${live.level})`, after.millis);

  stage.step('The same push again: it is there already, and no byte is sent');
  stage.command(`airlock push examples/plugins/${NAME} --to ${agent.url}`);
  const again = await push(one, agent.url, env);
  promised(again.status === 'present', 'a second push of the same answers "present"', again);
  promised(again.installId === first.installId, 'the install is still the first one', again);
  stage.good(`present: ${again.installId}`, again.millis);

  await updatesUnderAReader(root, { one, two }, agent.url, env);

  stage.step('Somebody with the wrong token');
  stage.command(`AIRLOCK_TOKEN=guessed… airlock list --to ${agent.url}`);
  const wrong = await stage.airlock(['list', '--to', agent.url], { AIRLOCK_TOKEN: 'guessed'.repeat(6) });
  promised(wrong.code === 4, 'a wrong token ends with exit code 4', wrong);
  stage.bad(wrong.stderr.trim().replaceAll('\n', '\n   '));
  stage.result('exit code 4', wrong.millis);

  stage.step('Is what lies there what was installed?');
  stage.command(`airlock verify ${NAME} --to ${agent.url}`);
  const verified = await stage.airlock(['verify', NAME, '--to', agent.url, '--json'], env);
  promised(
    verified.code === 0 && json(verified).verdict === 'intact',
    'the plugin verifies as intact',
    verified,
  );
  stage.good(`intact: every file has the size, mode and sha256 of its receipt`, verified.millis);

  await editsUnderARuntime(root);

  stage.step('The agent is told to stop');
  stage.command(`kill -TERM ${agent.child.pid}`);
  const asked = performance.now();
  agent.child.kill('SIGTERM');
  const { code } = await agent.end;
  promised(code === 0, 'the agent ends with exit code 0', { code });
  stage.good('exit code 0', performance.now() - asked);
}

const ADDED = 'A review that finds nothing says so.';

async function editsUnderARuntime(root) {
  const folder = path.join(root, NAME);
  stage.step('A runtime runs; somebody edits a skill in place, then a hook');
  stage.command('node examples/runtime/runtime.mjs $ROOT');
  const runtime = await stage.runtime(root);
  const loaded = await runtime.until(({ event }) => event === 'loaded');
  await runtime.until(({ event }) => event === 'ready');
  stage.good(`loaded: ${loaded.plugin}, ${loaded.skills.length} skills, ${loaded.rules.length} rules`);

  stage.command(`echo '${ADDED}' >> $ROOT/${NAME}/skills/review-a-diff/SKILL.md`);
  const saved = performance.now();
  await appendFile(path.join(folder, 'skills', 'review-a-diff', 'SKILL.md'), `${ADDED}\n`);
  const live = await runtime.until(({ event }) => event === 'reloaded' || event === 'needs-restart');
  promised(
    live.event === 'reloaded' && live.skills.length === 1 && live.skills[0].lastLine === ADDED,
    'an edited skill is live without a restart',
    live,
  );
  stage.good(
    `live without a restart: ${live.skills[0].path}, from saving it to running it`,
    performance.now() - saved,
  );

  stage.command(`echo 'exit 0' >> $ROOT/${NAME}/hooks/pre-commit-check.sh`);
  await appendFile(path.join(folder, 'hooks', 'pre-commit-check.sh'), 'exit 0\n');
  const cold = await runtime.until(({ event }) => event === 'reloaded' || event === 'needs-restart');
  promised(
    cold.event === 'needs-restart' && cold.reasons[0].path === 'hooks/pre-commit-check.sh',
    'an edited hook asks for a restart',
    cold,
  );
  stage.bad(`needs a restart: ${cold.reasons.map(({ path: file, why }) => `${file} (${why})`).join(', ')}`);
  runtime.child.kill('SIGTERM');
  const ended = await runtime.end;
  promised(ended.code === 0, 'the runtime ends well', ended);
}

async function updatesUnderAReader(root, { one, two }, url, env) {
  stage.step(`A runtime reads as fast as it can while the plugin is changed ${UPDATES} times`);
  const files = ['plugin.yaml', path.join('skills', 'review-a-diff', 'SKILL.md')];
  const versions = JSON.stringify({ '1.0.0': await hashOf(one, files), '2.0.0': await hashOf(two, files) });
  const script = path.join(repository, 'scripts', 'demo-reader.mjs');
  const reader = stage.start([script, root, NAME, versions, ...files], process.env);
  await new Promise((resolve) => {
    reader.child.stdout.once('data', resolve);
    reader.child.once('close', resolve);
  });
  stage.command(`airlock push v2/${NAME} --to ${url}     # then version 1 again, and so on`);
  const began = performance.now();
  for (let update = 0; update < UPDATES; update += 1) {
    const [folder, version] = update % 2 === 0 ? [two, '2.0.0'] : [one, '1.0.0'];
    const answer = await push(folder, url, env);
    promised(
      answer.status === 'installed' && answer.pluginVersion === version,
      `${version} is installed`,
      answer,
    );
    if (update === 0) {
      stage.good(`installed: ${NAME} 2.0.0; for the runtime: ${answer.reload.kind}`, answer.millis);
    }
  }
  const millis = performance.now() - began;
  reader.child.stdin.end();
  const ended = await reader.end;
  promised(ended.code === 0, 'the reader ends well', ended);
  const seen = JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '');
  const { '1.0.0': ones = 0, '2.0.0': twos = 0 } = seen.admitted;
  const refused = Object.values(seen.refused).reduce((sum, number) => sum + number, 0);
  promised(refused === 0, 'the gate never refuses and never misses the plugin', seen);
  promised(
    seen.mixed === 0 && seen.unreadable === 0,
    'while a version is live every file of it is there, and none is of another version',
    seen,
  );
  promised(ones > 0 && twos > 0 && ones + twos === seen.gates, 'the reader saw both versions', seen);
  promised(seen.updates > 0 && seen.updates <= UPDATES, 'the reader was there when versions changed', seen);
  stage.good(`${UPDATES} updates, one push after the other`, millis);
  stage.result(
    `The reader asked the gate ${count(seen.gates)} times and read ${files.length} files after each answer:`,
  );
  stage.good(`${count(ones).padStart(9)} × version 1.0.0`);
  stage.good(`${count(twos).padStart(9)} × version 2.0.0`);
  stage.good(`${count(refused).padStart(9)} × refused or absent`);
  stage.good(`${count(seen.mixed + seen.unreadable).padStart(9)} × files of two versions, or a file missing`);
  stage.result(
    `It met ${seen.updates} of the updates between two answers; ${seen.between} of its reads fell into the moment between two`,
  );
  stage.result(
    `renames and were asked again; its slowest answer took ${seen.slowestGateMillis.toFixed(1)} ms.`,
  );
}

/** @type {Promise<never> | undefined} */
let ending;

/** Cleans up and ends with the code of whoever called first: after Ctrl-C the steps fail too, which is no news. */
function end(code) {
  ending ??= (async () => {
    clearTimeout(watchdog);
    await stage.close();
    return process.exit(code);
  })();
  return ending;
}

const watchdog = setTimeout(() => {
  process.stderr.write(`\nThe demo broke off: it took longer than ${LIMIT_SECONDS} s\n`);
  void end(1);
}, LIMIT_SECONDS * 1000);
for (const [signal, code] of /** @type {const} */ ([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])) {
  process.once(signal, () => void end(code));
}

const started = performance.now();
try {
  await main();
  stage.say(`\nDone in ${((performance.now() - started) / 1000).toFixed(1)} s. Nothing is left behind.`);
  await end(0);
} catch (error) {
  if (ending === undefined) {
    process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
  }
  await end(1);
}
