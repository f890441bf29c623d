// The platform's way without Airlock: copy into the container, then four commands in it (mkdir, mv, mv, touch), by the API
// of the engine and by its command. Nothing of it is durable.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

import { packDirectory } from '../dist/client.mjs';
import { placeTools } from '../test/image/base.mjs';
import { findEngine } from '../test/image/engine.mjs';
import { makePlugin } from './corpus.mjs';
import { BYTES_PER_FILE, keeper } from './install.mjs';
import { compare, ratios, run, timed } from './measure.mjs';

const TOOLS = ['sh', 'mkdir', 'mv', 'touch', 'sleep'];
const STAGED = '/configs/staged';
const LIVE = '/configs/live';

/** Makes an image of the few programs that the four commands need, from those of this machine. */
async function makeImage(engine, image) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'airlock-bench-image-'));
  try {
    const root = path.join(folder, 'root');
    await mkdir(root);
    await placeTools(root, TOOLS);
    const archive = path.join(folder, 'image.tar');
    await run('tar', ['-C', root, '-cf', archive, '.']);
    await mustRun(engine.docker('import', archive, image));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function mustRun(running) {
  const { code, stdout, stderr } = await running;
  if (code !== 0) throw new Error(`The container engine refused: ${stderr || stdout}`);
  return stdout.trim();
}

/** The four commands, in the order of the platform. @param {(...words: string[]) => Promise<unknown>} exec */
async function deliver(exec, copy) {
  await exec('mkdir', '-p', STAGED);
  await copy();
  await exec('mv', LIVE, `/configs/old-${randomUUID()}`);
  await exec('mv', STAGED, LIVE);
  await exec('touch', `${LIVE}/.complete`);
}

/** One request to the engine. @returns its answer as text */
async function ask(socketPath, method, url, body) {
  const isStream = body !== undefined && typeof body !== 'string';
  const type = isStream ? 'application/x-tar' : 'application/json';
  const request = http.request({ socketPath, method, path: url, headers: { 'content-type': type } });
  if (isStream) body.pipe(request);
  else request.end(body);
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  if (response.statusCode >= 300) throw new Error(`The container engine refused ${url}: ${text}`);
  return text;
}

async function deliverByApi(socketPath, container, bundle) {
  const exec = async (...Cmd) => {
    const { Id } = JSON.parse(
      await ask(
        socketPath,
        'POST',
        `/containers/${container}/exec`,
        JSON.stringify({ Cmd, AttachStdout: true, AttachStderr: true }),
      ),
    );
    await ask(socketPath, 'POST', `/exec/${Id}/start`, '{"Detach":false}');
    const { ExitCode } = JSON.parse(await ask(socketPath, 'GET', `/exec/${Id}/json`));
    if (ExitCode !== 0) throw new Error(`"${Cmd.join(' ')}" ended with ${ExitCode} in the container`);
  };
  const url = `/containers/${container}/archive?path=${STAGED}`;
  await deliver(exec, () => ask(socketPath, 'PUT', url, createReadStream(bundle.file)));
}

async function deliverByCommand({ docker }, container, source) {
  const exec = (...command) => mustRun(docker('exec', container, ...command));
  await deliver(exec, () => mustRun(docker('cp', `${source}/.`, `${container}:${STAGED}`)));
}

/** Measures one plugin in a container whose /configs is a folder of the place that is measured. */
async function measurePlugin(bench, { engine, image, socket, place, folder, what, size, bar }) {
  const source = await makePlugin(path.join(folder, what), 'made-up', size);
  const bundle = await packDirectory(source, { out: path.join(folder, `${randomUUID()}.tgz`) });
  const configs = path.join(folder, `configs-${randomUUID()}`);
  await mkdir(path.join(configs, 'live'), { recursive: true });
  const mount = ['-v', `${configs}:/configs`];
  const container = await mustRun(
    engine.docker('run', '-d', '--network', 'none', ...mount, image, 'sleep', '1000000'),
  );
  const agent = await keeper(folder);
  try {
    await agent.push(bundle);
    const byApi =
      socket === undefined ? {} : { API: () => timed(() => deliverByApi(socket, container, bundle)) };
    const { airlock, ...ways } = await compare(
      {
        airlock: () => agent.push(bundle),
        ...byApi,
        command: () => timed(() => deliverByCommand(engine, container, source)),
      },
      bench.options.rounds,
    );
    for (const [way, times] of Object.entries(ways)) {
      const against = `docker cp, 4 execs (${way})`;
      bench.add({ what, against, place, bar: way === 'API' ? bar : null, values: ratios(airlock, times) });
    }
  } finally {
    await agent.stop();
    await engine.docker('rm', '-f', container);
  }
}

/** The Unix socket of the engine, or undefined if it is reached in another way. */
async function socketOf({ docker }) {
  const host = (await docker('context', 'inspect', '--format', '{{.Endpoints.docker.Host}}')).stdout.trim();
  return host.startsWith('unix://') ? host.slice('unix://'.length) : undefined;
}

export async function measureDocker(bench) {
  const { files, rounds } = bench.options;
  const engine = await findEngine(bench.undo, bench.say, { install: bench.options.docker });
  if ('missing' in engine) {
    bench.leaveOut('docker cp', engine.missing);
    return;
  }
  const image = `airlock-bench-${randomUUID().slice(0, 8)}`;
  bench.undo.add(`remove the image ${image}`, () => engine.docker('rmi', '-f', image));
  await makeImage(engine, image);
  const socket = await socketOf(engine);
  for (const { name: place, parent } of await bench.roomy(files * BYTES_PER_FILE * (rounds * 3 + 4))) {
    await bench.inFolder(parent, async (folder) => {
      const shared = { engine, image, socket, place, folder };
      const small = { files: 32, bytes: 180_000 };
      await measurePlugin(bench, { ...shared, what: 'small plugin', size: small, bar: 0.05 });
      const big = { files, bytes: files * BYTES_PER_FILE };
      await measurePlugin(bench, { ...shared, what: `big plugin (${files} files)`, size: big, bar: null });
    });
  }
}
