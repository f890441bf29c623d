// Builds the sidecar image, runs it, and checks it from outside: `npm run test:image`. Needs a container engine: one
// that runs, or root and a Debian to start a private one. Where there is none it is skipped, but not in CI.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { baseImage } from './base.mjs';
import { checksOf } from './checks.mjs';
import { Undo, lastWords } from './command.mjs';
import { findEngine } from './engine.mjs';
import { Sidecar } from './sidecar.mjs';
import { workspaceChecks } from './workspace.mjs';

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const { version } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8'));
/** Names all that this run makes, so that it can meet nothing that somebody else has made. */
const mine = `airlock-test-${randomBytes(4).toString('hex')}`;
const undo = new Undo();
const say = (line) => process.stdout.write(`${line}\n`);
const count = { passed: 0, failed: 0, skipped: 0 };

/** Runs one check and prints its line. @returns whether it passed */
async function check(title, what) {
  const started = performance.now();
  try {
    const remark = await what();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`ok      ${title} (${[remark, `${seconds} s`].filter(Boolean).join(', ')})`);
    count.passed += 1;
    return true;
  } catch (error) {
    say(
      `FAILED  ${title}\n${(error instanceof Error ? error.message : String(error)).replaceAll(/^/gm, '          ')}`,
    );
    count.failed += 1;
    return false;
  }
}

async function build(engine) {
  const base = await baseImage(engine, `${mine}-base`, repository, undo);
  say(`Base: ${base.what}`);
  const settings = [`BASE=${base.image}`, `VERSION=${version}`, ...proxies()].flatMap((arg) => [
    '--build-arg',
    arg,
  ]);
  undo.add(`remove the image ${mine}`, () => engine.docker('rmi', '-f', mine));
  const file = path.join(repository, 'Dockerfile.sidecar');
  const built = await engine.build('-f', file, '-t', mine, ...settings, repository);
  if (built.code !== 0) throw new Error(`"docker build" ended with ${built.code}:\n${lastWords(built, 25)}`);
  return base.image;
}

/** Names of the proxy settings of this machine: given without a value, docker takes it from the environment. */
const proxies = () => Object.keys(process.env).filter((name) => /^(https?|no)_proxy$/i.test(name));

async function main() {
  const engine = await findEngine(undo, say);
  if ('missing' in engine) {
    const required = process.env['AIRLOCK_REQUIRE_IMAGE'] === '1' || process.env['CI'] === 'true';
    say(`${required ? 'FAILED' : 'skipped'}: the image cannot be tested here, ${engine.missing}`);
    say(required ? '0 passed, 1 failed' : '0 passed, 0 failed, 1 skipped');
    return required ? 1 : 0;
  }
  say(`Engine: ${engine.version}, ${engine.own ? 'private' : 'already running'}`);
  const token = randomBytes(24).toString('base64url');
  const sidecar = new Sidecar(engine, { image: mine, name: mine, volume: mine, token });
  let base = '';
  const building = async () => {
    base = await build(engine);
  };
  if (await check('the image is built', building)) {
    undo.add(`remove the volume ${mine}`, () => engine.docker('volume', 'rm', '-f', mine));
    undo.add(`remove the container ${mine}`, () => sidecar.remove());
    const checks = [
      ...checksOf({ engine, sidecar, repository, version }),
      ...workspaceChecks({ engine, sidecar, repository, base, undo }),
    ];
    for (const [index, [title, what]] of checks.entries()) {
      if (await check(title, what)) continue;
      // They build on each other: what comes after a red one would only repeat it.
      count.skipped = checks.length - index - 1;
      break;
    }
  }
  await undo.all();
  const skipped = count.skipped === 0 ? '' : `, ${count.skipped} skipped`;
  say(`${count.passed} passed, ${count.failed} failed${skipped}`);
  return count.failed === 0 ? 0 : 1;
}

undo.onSignals();
try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(
    `The test of the image broke off: ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exitCode = 1;
} finally {
  await undo.all();
}
